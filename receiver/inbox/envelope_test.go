package inbox_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// An event in an envelope is stored as it was received. The handler gets both
// the event and the envelope, and ordering knows its status.
func TestHandler_WithEnvelope(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		got := make(chan *receiver.Delivery, 2)
		in := open(func(ctx context.Context, _ *payload.Event) error {
			d, _ := receiver.FromContext(ctx)
			got <- d
			return nil
		}, inbox.WithOrdering())
		at := &endpoint{t: t, scheme: newScheme(t)}
		var err error
		at.h, err = in.Handler(at.scheme, "platform", receiver.WithLogger(quiet()), receiver.WithEnvelope())
		require.NoError(t, err)
		const live = `{"type":"deploy.live","timestamp":"2026-03-12T14:25:02Z", "data":{"deployment_id":"dep_1","app":"api","environment":"production"},"id":"evt_2"}`
		const late = `{"type":"deploy.started","timestamp":"2026-03-12T14:22:01Z","data":{"deployment_id":"dep_1","app":"api"}}`
		require.Equal(t, http.StatusAccepted, at.post("whk_2", live).Code)
		start(t, in)
		reaches(t, in, inbox.Stats{Handled: 1})
		d := <-got
		assert.Equal(t, live, string(d.Body))
		assert.Equal(t, payload.DeployLive, d.Event.Type)
		assert.Same(t, d.Event, &d.Envelope.Event)
		id, _ := d.Envelope.Extra.Get("id")
		assert.Equal(t, "evt_2", id.String())

		require.Equal(t, http.StatusAccepted, at.post("whk_1", late).Code)
		reaches(t, in, inbox.Stats{Handled: 1, Superseded: 1})
		require.Empty(t, got)

		own := `{"event":"deploy.rolled_back","timestamp":"2026-03-12T14:30:00Z","deployment_id":"dep_1","app":"api","previous_version":"1"}`
		require.Equal(t, http.StatusAccepted, at.post("whk_3", own).Code)
		reaches(t, in, inbox.Stats{Handled: 2, Superseded: 1})
		require.Nil(t, (<-got).Envelope)
	})
}
