package pagerduty_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/pagerduty"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// triggered has the members of the example in PagerDuty's documentation, which
// recorded deliveries also have.
const triggered = `{"event":{"id":"01CH754SM17TWPE2V2H4VPBRO7","event_type":"incident.triggered","resource_type":"incident",` +
	`"occurred_at":"2021-12-08T22:58:53.510Z","agent":null,"client":null,"data":{"id":"PGR0VU2","type":"incident",` +
	`"self":"https://api.pagerduty.com/incidents/PGR0VU2","html_url":"https://acme.pagerduty.com/incidents/PGR0VU2","number":2,` +
	`"status":"triggered","incident_key":"d3640fbd41094207a1c11e58e46b1662","created_at":"2021-12-08T22:58:50Z",` +
	`"title":"A little bump in the road","service":{"html_url":"https://acme.pagerduty.com/services/PF9KMXH","id":"PF9KMXH",` +
	`"self":"https://api.pagerduty.com/services/PF9KMXH","summary":"API Service","type":"service_reference"},"urgency":"high"}}}`

func TestNewIncidentDecoder(t *testing.T) {
	t.Parallel()
	decode, err := pagerduty.NewIncidentDecoder()
	require.NoError(t, err)
	created, occurred := time.Date(2021, 12, 8, 22, 58, 50, 0, time.UTC), time.Date(2021, 12, 8, 22, 58, 53, 510_000_000, time.UTC)
	for kind, times := range map[string][2]time.Time{
		"triggered": {created}, "reopened": {occurred}, "resolved": {created, occurred},
	} {
		i, err := decode(t.Context(), []byte(strings.Replace(triggered, "incident.triggered", "incident."+kind, 1)))
		require.NoError(t, err, kind)
		require.Equal(t, &payload.Incident{
			IncidentID: "PGR0VU2", OpenedAt: times[0], ResolvedAt: times[1], UpdatedAt: occurred, Service: "API Service",
			URL: "https://acme.pagerduty.com/incidents/PGR0VU2", Title: "A little bump in the road",
		}, i, kind)
	}
	decode, err = pagerduty.NewIncidentDecoder(pagerduty.WithServices(map[string]string{"PF9KMXH": "api"}), pagerduty.WithEnvironment("staging"))
	require.NoError(t, err)
	i, err := decode(t.Context(), []byte(triggered))
	require.NoError(t, err)
	require.Equal(t, "api", i.Service)
	require.Equal(t, "staging", i.Environment)

	for body, want := range map[string]error{
		`{"event":{"event_type":"pagey.ping","resource_type":"pagey","data":{"type":"ping"}}}`:     payload.ErrIgnored,
		strings.Replace(triggered, `"type":"incident","self"`, `"type":"incident_note","self"`, 1): payload.ErrIgnored,
		strings.Replace(triggered, `incident.triggered`, `incident.acknowledged`, 1):               payload.ErrIgnored,
		strings.Replace(triggered, `"id":"PGR0VU2",`, ``, 1):                                       payload.ErrInvalid,
		strings.Replace(triggered, `2021-12-08T22:58:50Z`, `soon`, 1):                              payload.ErrInvalid,
		`[]`: payload.ErrInvalid,
	} {
		_, err := decode(t.Context(), []byte(body))
		require.ErrorIs(t, err, want, body)
	}
	_, err = pagerduty.NewIncidentDecoder(pagerduty.WithServices(nil), pagerduty.WithEnvironment(""), nil)
	require.ErrorIs(t, err, pagerduty.ErrConfig)
}

// The scheme of the package's documentation takes PagerDuty's header.
func TestSignature(t *testing.T) {
	t.Parallel()
	const key = "a-literal-secret-of-some-length"
	secret, err := signer.NewLiteralSecret(key)
	require.NoError(t, err)
	v, err := signer.NewBodyOnly(secret, signer.WithHeader("X-PagerDuty-Signature"), signer.WithSignaturePrefix("v1="),
		signer.WithSignatureList(), signer.WithPrincipal("acme"))
	require.NoError(t, err)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(triggered))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	r.Header.Set("X-PagerDuty-Signature", "v1="+hex.EncodeToString(mac.Sum(nil)))
	verified, err := v.Verify(r, []byte(triggered))
	require.NoError(t, err)
	require.Equal(t, "acme", verified.Principal)
	// A subscription with two secrets has two signatures.
	r.Header.Set("X-PagerDuty-Signature", "v1="+strings.Repeat("0", 64)+","+r.Header.Get("X-PagerDuty-Signature"))
	_, err = v.Verify(r, []byte(triggered))
	require.NoError(t, err)
	_, err = v.Verify(r, []byte(triggered+" "))
	require.ErrorIs(t, err, signer.ErrUnverified)
}
