package outbox_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/hidden/hiddentest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

// The secrets are also valid base64, so each can be any kind of key.
const (
	hiddenKey   = "KEYCANARYKEYCANARYKEYCANARYKEYCANARYKEYCANA="
	hiddenValue = "CANARYCANARYCANARYCANARYCANARYCA"
)

// Values that contain a secret of a customer or the platform do not print it,
// neither directly nor in a field of another struct.
func TestSecretsAreHidden(t *testing.T) {
	t.Parallel()
	key, err := outbox.NewSealingKey("2026-11", []byte(hiddenKey)[:32])
	require.NoError(t, err)
	hook := newHook(t, nil)
	url, header := sender.NewURL(hook.URL+"/"+hiddenValue), sender.NewHeader(http.Header{"X-Api-Key": {hiddenValue}})
	config := outbox.EndpointConfig{URL: url, Header: header, Secret: outbox.NewSecret("whsec_" + hiddenValue)}
	certificate := outbox.NewClientCertificate(hiddenValue, hiddenValue)
	update := outbox.EndpointUpdate{URL: &url, Header: &header, ClientCertificate: &certificate}
	uploaded := outbox.EndpointConfig{URL: url, ClientCertificate: certificate}

	w := &world{path: t.TempDir() + "/outbox.db"}
	o, err := w.tryOpen(outbox.WithSealingKeys(key))
	require.NoError(t, err)
	require.NoError(t, o.Start(t.Context()))
	created, secret := create(t, o.App("shop"), config)
	p := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"))
	settled(t, o, p.Deliveries[0].ID, outbox.Delivered) // so that the endpoint is in memory
	require.NoError(t, o.Close())                       // so that nothing writes to what is read

	covered := []any{config, uploaded, update, certificate, secret, key, outbox.Secret{}, outbox.SealingKey{}, outbox.ClientCertificate{}}
	hiddentest.RequireHidden(t, []string{hiddenKey, hiddenValue}, append(covered, created, outbox.WithSealingKeys(key))...)
	handler, err := api.New(o, func(*http.Request) (api.Access, error) { return api.Access{}, nil })
	require.NoError(t, err)
	hiddentest.RequireNotPrinted(t, []string{hiddenKey, hiddenValue}, o, o.App("shop"), handler)
	excuses := map[string]string{
		"outbox.Attempt": "a record, whose header values are redacted before they are stored",
		"outbox.Notice":  "it has an Attempt",
	}
	hiddentest.RequireCovered(t, ".", excuses, append(covered, o, o.App("shop"), handler)...)
}
