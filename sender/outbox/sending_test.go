package outbox

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

func TestAJobsDeadlineIsAFailureAndStopIsNone(t *testing.T) {
	t.Parallel()
	overdue, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	stopped, stop := context.WithCancelCause(t.Context())
	stop(errors.New("stopped"))
	to := sender.Endpoint{URL: sender.NewURL("https://hooks.example/secret")}
	for name, c := range map[string]struct {
		ctx  context.Context
		a    sender.Attempt
		want sender.Outcome
	}{
		"overdue":     {overdue, sender.Attempt{Outcome: sender.Canceled, RequestHeader: http.Header{}}, sender.Failed},
		"never began": {overdue, sender.Attempt{Outcome: sender.Canceled}, sender.Canceled},
		"stopped":     {stopped, sender.Attempt{Outcome: sender.Canceled, RequestHeader: http.Header{}}, sender.Canceled},
		"delivered":   {overdue, sender.Attempt{Outcome: sender.Delivered, RequestHeader: http.Header{}}, sender.Delivered},
	} {
		a := c.a
		blameDeadline(c.ctx, &a, to)
		require.Equal(t, c.want, a.Outcome, name)
		if a.Outcome == sender.Failed {
			require.Equal(t, sender.ClassTimeout, a.Class)
			require.ErrorContains(t, a.Err, "timeout")
			require.NotContains(t, a.Err.Error(), "secret")
		}
	}
}
