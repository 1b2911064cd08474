package outbox

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

// The bytes of deliveries that an earlier release has stored must not change.
// Do not update the golden file. Add an encoding instead.
func TestJSONBody_KeepsItsBytes(t *testing.T) {
	event := &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC), DeploymentID: "dep_1", App: "shop",
		Environment: "production", URL: "https://shop.example/?a=1&b=<2>",
	}
	require.NoError(t, event.Extra.Set(eventIDMember, "evt_1"))
	stored, err := event.Encode()
	require.NoError(t, err)
	require.Equal(t, encoding(1), jsonBody, "the value is stored")
	body := jsonBody.body("whk_0123456789abcdef0123456789abcdef", stored)
	golden, err := os.ReadFile("testdata/body-1.json")
	require.NoError(t, err)
	require.Equal(t, string(golden), string(body)+"\n")

	decoded, err := payload.DecodeEvent(body)
	require.NoError(t, err)
	require.Equal(t, "whk_0123456789abcdef0123456789abcdef", decoded.DeliveryID)
	decoded.DeliveryID = ""
	again, err := decoded.Encode()
	require.NoError(t, err)
	require.Equal(t, string(stored), string(again), "nothing else differs")
}

func TestJSONBody_IsStoredOnceForAllEndpoints(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		o.endpoint("shop", 0)
		id := o.publishOne("shop")
		var bodies, deliveries int64
		require.NoError(t, o.db.QueryRow(t.Context(), `SELECT count(*) FROM {schema}outbox_body`).Scan(&bodies))
		require.NoError(t, o.db.QueryRow(t.Context(), `SELECT count(*) FROM {schema}outbox_delivery`).Scan(&deliveries))
		require.EqualValues(t, 1, bodies)
		require.EqualValues(t, 2, deliveries)
		d := o.delivery(id)
		event, err := payload.DecodeEvent(d.Body)
		require.NoError(t, err)
		require.Equal(t, id, event.DeliveryID)
	})
}
