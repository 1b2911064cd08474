package outbox_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/signer"
)

// A customer learns what is wrong with a signature, without giving away the
// secret.
func TestVerifyRequest(t *testing.T) {
	t.Parallel()
	for _, scheme := range []outbox.Scheme{
		outbox.SchemeStandard, outbox.SchemeEd25519, outbox.SchemeHTTPSig, outbox.SchemeTimestamped, outbox.SchemeStripe,
	} {
		t.Run(string(scheme), func(t *testing.T) {
			t.Parallel()
			w := &world{path: outbox.NewSQLite(t)}
			o := w.start(t)
			url, requests := httpsigServer(t)
			c := endpointAt(url)
			c.Scheme = scheme
			e, _ := create(t, o.App("shop"), c)
			id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
			r := <-requests

			verified, err := o.App("shop").VerifyRequest(t.Context(), id, r.Header, r.body)
			require.NoError(t, err)
			require.NotEmpty(t, verified.Key)
			_, err = o.App("shop").RotateSecret(t.Context(), e.ID, "", 60e9)
			require.NoError(t, err)
			_, err = o.App("shop").VerifyRequest(t.Context(), id, r.Header, r.body)
			require.NoError(t, err, "the old key is still in use")

			_, err = o.App("shop").VerifyRequest(t.Context(), id, r.Header, append(bytes.Clone(r.body), '\n'))
			require.ErrorIs(t, err, signer.ErrUnverified)
			_, err = o.App("shop").VerifyRequest(t.Context(), id, nil, r.body)
			require.ErrorIs(t, err, signer.ErrMissingHeader)
			_, err = o.App("other").VerifyRequest(t.Context(), id, r.Header, r.body)
			require.ErrorIs(t, err, outbox.ErrUnknownDelivery)
		})
	}
}

// The error says which part is wrong.
func TestVerifyRequest_Diagnoses(t *testing.T) {
	t.Parallel()
	w := &world{path: outbox.NewSQLite(t)}
	o := w.start(t)
	url, requests := httpsigServer(t)
	_, secret := create(t, o.App("shop"), endpointAt(url))
	id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
	r := <-requests
	_, err := o.App("shop").VerifyRequest(t.Context(), id, r.Header, append(bytes.Clone(r.body), '\n'))
	require.ErrorContains(t, err, "matches the body without the white space around it")
	require.NotContains(t, err.Error(), secret.Reveal())
}

// Nothing is signed, so nothing can be verified.
func TestVerifyRequest_NeedsASignature(t *testing.T) {
	t.Parallel()
	w := &world{path: outbox.NewSQLite(t)}
	o := w.start(t)
	url, requests := httpsigServer(t)
	c := endpointAt(url)
	c.Scheme = outbox.InsecureUnsigned
	_, _ = create(t, o.App("shop"), c)
	id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
	<-requests
	_, err := o.App("shop").VerifyRequest(t.Context(), id, http.Header{}, nil)
	require.ErrorIs(t, err, outbox.ErrInvalid)
}

// An endpoint can be tested with an event of any type. The log calls it a test,
// and no replay sends it again.
func TestTestEndpoint_WithTestEvent(t *testing.T) {
	t.Parallel()
	w := &world{path: outbox.NewSQLite(t)}
	o := w.start(t)
	url, requests := httpsigServer(t)
	e, _ := create(t, o.App("shop"), endpointAt(url))
	d, a, err := o.App("shop").TestEndpoint(t.Context(), e.ID, outbox.WithTestEvent(event(payload.DeployFailed, "test_1")))
	require.NoError(t, err)
	require.Equal(t, outbox.Delivered, d.State)
	require.Equal(t, http.StatusOK, a.Status)
	require.Equal(t, outbox.EventTest, d.Type)
	sent, err := payload.DecodeEvent((<-requests).body)
	require.NoError(t, err)
	require.Equal(t, payload.DeployFailed, sent.Type)
	require.Equal(t, d.ID, sent.DeliveryID)

	_, _, err = o.App("shop").TestEndpoint(t.Context(), e.ID, outbox.WithTestEvent(nil))
	require.ErrorIs(t, err, outbox.ErrInvalid)
	_, _, err = o.App("shop").TestEndpoint(t.Context(), e.ID, outbox.WithTestEvent(&payload.Event{}))
	require.ErrorContains(t, err, "deployment_id")
	_, _, err = o.App("shop").TestEndpoint(t.Context(), e.ID, nil)
	require.ErrorIs(t, err, outbox.ErrInvalid)
}
