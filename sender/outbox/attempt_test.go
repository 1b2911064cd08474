package outbox

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

func TestAttempt_CanceledByDeadlineFails(t *testing.T) {
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
		failOnDeadline(c.ctx, &a, to)
		require.Equal(t, c.want, a.Outcome, name)
		if a.Outcome == sender.Failed {
			require.Equal(t, sender.ClassTimeout, a.Class)
			require.ErrorContains(t, a.Err, "timeout")
			require.NotContains(t, a.Err.Error(), "secret")
		}
	}
}

// An attempt has the endpoint's timeout, or else the sender's. WithMaxTimeout
// bounds both.
func TestAttempt_Timeout(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		d := o.loaded(o.publishOne("shop"))
		for stored, want := range map[time.Duration]time.Duration{
			0: 300 * time.Millisecond, 5 * time.Second: 5 * time.Second, time.Minute: 40 * time.Second,
		} {
			o.exec(`UPDATE {schema}outbox_endpoint SET timeout = ?, version = version + 1`, stored.Microseconds())
			d := o.loaded(d.id)
			to, err := o.worker.targets.get(t.Context(), d, time.Now())
			require.NoError(t, err)
			require.Equal(t, want, to.to.Timeout)
		}
	}, WithMaxTimeout(40*time.Second), WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")), sender.WithTimeout(300*time.Millisecond)))
}
