package outbox

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// The announcement of a disabled endpoint exceeds the limit for bodies. The
// endpoint is disabled without it, and its deliveries are canceled.
func TestDisable_WithoutAnnouncement(t *testing.T) {
	t.Parallel()
	for name, disable := range map[string]func(o *inside, d *loaded) error{
		"by the caller": func(o *inside, d *loaded) error {
			return o.App("shop").Disable(t.Context(), d.endpoint, "the customer asked")
		},
		"by 410": func(o *inside, d *loaded) error {
			notices := o.health.tryDisable(t.Context(), owned{d.app, d.endpoint}, nil, "the endpoint answered 410 Gone", ` AND version = ?`, d.version)
			require.Len(o.t, notices, 1)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log lockedBuffer
			insideEach(t, func(t *testing.T, o *inside) {
				o.endpoint("shop", 0)
				o.endpoint("shop", 0) // would get the announcement
				d := o.loaded(o.publishOne("shop"))
				require.NoError(t, disable(o, d))
				require.Equal(t, EndpointDisabled, o.shown(d.endpoint).State)
				require.Equal(t, Canceled, o.delivery(d.id).State)
				require.Zero(t, o.count(`type = 'endpoint.disabled'`))
				require.Contains(t, log.String(), "announcing a disabled endpoint")
			}, WithSender(sender.WithMaxBody(300)), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		})
	}
}
