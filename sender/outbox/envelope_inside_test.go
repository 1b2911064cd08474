package outbox

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// The bytes of deliveries that an earlier release has stored must not change.
// Do not update the golden file. Add an encoding instead.
func TestEnvelopeBody_KeepsItsBytes(t *testing.T) {
	t.Parallel()
	event := &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC), DeploymentID: "dep_1", App: "shop",
		Environment: "production", URL: "https://shop.example/?a=1&b=<2>",
	}
	require.NoError(t, event.Extra.Set(eventIDMember, "evt_1"))
	stored, err := event.Encode()
	require.NoError(t, err)
	require.Equal(t, encoding(3), envelopeBody, "the value is stored")
	body := envelopeBody.body("whk_0123456789abcdef0123456789abcdef", stored)
	golden, err := os.ReadFile("testdata/body-3.json")
	require.NoError(t, err)
	require.Equal(t, string(golden), string(body)+"\n")
}

// An envelope that is made of stored bytes is the one that package payload
// makes, whatever texts the event has.
func TestEnvelopeBody_IsTheEnvelopeOfPackagePayload(t *testing.T) {
	t.Parallel()
	const id = "whk_0123456789abcdef0123456789abcdef"
	for _, text := range []string{"plain", `","timestamp":"`, `"}`, `\`, "\u2028<é>\n", `{"data":{}}`, strings.Repeat("x", 1000)} {
		for _, at := range []time.Time{time.Unix(1, 0), time.Unix(1773325321, 123456789), time.Unix(253402300799, 0)} {
			event := &payload.Event{
				Type: "a_1.b.c", Timestamp: at, DeploymentID: strings.ReplaceAll(text, "\n", ""), App: text, Error: text,
				Commit: &payload.Commit{SHA: "abcdef1", Message: text},
			}
			require.NoError(t, event.Extra.Set(text, text))
			require.NoError(t, event.Extra.Set("type", text))
			if len(text) > 255 {
				event.DeploymentID = "dep_1"
			}
			stored, err := event.Encode()
			require.NoError(t, err)
			body := envelopeBody.body(id, stored)
			event.DeliveryID = id
			want, err := (&payload.Envelope{Event: *event}).Encode()
			require.NoError(t, err)
			require.Equal(t, string(want), string(body))
		}
	}
	minimal, err := (&payload.Event{Type: "a.b", Timestamp: time.Unix(1, 0), DeploymentID: "d"}).Encode()
	require.NoError(t, err)
	require.Equal(t, `{"type":"a.b","timestamp":"1970-01-01T00:00:01Z","data":{"delivery_id":"whk_1","deployment_id":"d"}}`,
		string(envelopeBody.body("whk_1", minimal)))
	require.Empty(t, envelopeBody.body("whk_1", nil), "it was erased")
}

func TestEnvelopeBody_IsStoredOnceForAllEndpoints(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		for _, format := range []string{FormatEnvelope, FormatEnvelope, FormatJSON} {
			_, _, err := o.App("shop").CreateEndpoint(t.Context(), EndpointConfig{URL: sender.NewURL("http://127.0.0.1:1/" + newID("x")), BodyFormat: format})
			require.NoError(t, err)
		}
		o.publishOne("shop")
		var bodies int64
		require.NoError(t, o.db.QueryRow(t.Context(), `SELECT count(*) FROM {schema}outbox_body`).Scan(&bodies))
		require.EqualValues(t, 1, bodies)
		found, err := o.App("shop").Deliveries(t.Context(), DeliveryFilter{}, Page{})
		require.NoError(t, err)
		require.Len(t, found.Items, 3)
		envelopes := 0
		for _, d := range found.Items {
			body := o.delivery(d.ID).Body
			require.Equal(t, string(body), string(o.loaded(d.ID).message.Body))
			event, envelope, err := payload.DecodeEventOrEnvelope(body)
			require.NoError(t, err)
			require.Equal(t, d.ID, event.DeliveryID)
			if envelope != nil {
				envelopes++
			}
		}
		require.Equal(t, 2, envelopes)
	})
}

// An event that fits the sender's limit, but not in an envelope, fails at
// endpoints with envelopes only, and at once.
func TestEnvelopeBody_OverTheLimit(t *testing.T) {
	t.Parallel()
	const limit = 1000
	insideEach(t, func(t *testing.T, o *inside) {
		event := &payload.Event{Type: payload.DeployFailed, Timestamp: time.Unix(1, 0), DeploymentID: "d", App: "shop", Error: "x"}
		body, err := o.publisher.draft(t.Context(), "shop", event, nil)
		require.NoError(t, err)
		event.Error = strings.Repeat("x", limit-len(jsonBody.body(payload.NewDeliveryID(), body.body))+1)
		states := map[string]State{}
		for _, format := range []string{FormatEnvelope, FormatJSON} {
			e, _, err := o.App("shop").CreateEndpoint(t.Context(), EndpointConfig{URL: sender.NewURL("http://127.0.0.1:1/" + format), BodyFormat: format})
			require.NoError(t, err)
			states[e.ID] = Pending
			if format == FormatEnvelope {
				states[e.ID] = Failed
			}
		}
		p, err := o.App("shop").Publish(t.Context(), event)
		require.NoError(t, err)
		require.Len(t, p.Deliveries, 2)
		for _, ref := range p.Deliveries {
			d := o.delivery(ref.ID)
			require.Equal(t, states[ref.Endpoint], d.State)
			if d.State == Failed {
				require.Contains(t, d.LastError, "1008 bytes are over the limit of 1000")
			}
		}
	}, WithSender(sender.WithMaxBody(limit)))
}
