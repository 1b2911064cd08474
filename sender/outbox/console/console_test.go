package console_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/hidden/hiddentest"
	"github.com/deployhook/deployhook/sender/outbox/api"
	"github.com/deployhook/deployhook/sender/outbox/console"
)

// The constructor names each mistake.
func TestNew(t *testing.T) {
	t.Parallel()
	authorize := func(*http.Request) (api.Access, error) { return api.Access{}, nil }
	_, err := console.New(nil, authorize)
	require.ErrorIs(t, err, console.ErrConfig)
	require.ErrorContains(t, err, "the outbox is nil")
	w := onSQLite(t)
	_, err = console.New(w.Outbox, nil, nil, console.WithLogger(nil), console.WithName(""), console.WithTrustedOrigins("example.com"),
		console.WithEventTypes(api.EventType{}, api.EventType{Type: "acme.none"},
			api.EventType{Type: "deploy.live", Example: []byte(`{}`)}))
	for _, text := range []string{
		"the authorizer is nil", "an option is nil", "WithLogger", "WithName", "WithTrustedOrigins", "a type has no name", "deploy.live is there already",
		"the example of acme.none is missing",
	} {
		require.ErrorContains(t, err, text)
	}
}

// The platform's name and its own types are on the pages.
func TestOptions(t *testing.T) {
	t.Parallel()
	w := onSQLite(t, console.WithName("Acme deploys"), console.WithEventTypes(api.EventType{
		Type: "acme.scaled", Description: "An app was scaled.", Example: []byte(`{"event":"acme.scaled","timestamp":"2026-03-12T14:22:01Z","deployment_id":"d"}`),
	}))
	g := newTarget(t, 200)
	e, _ := w.endpointAt("shop", g.URL)
	w.as("shop").Open("/apps/shop/types").Says("Acme deploys", "An app was scaled.").Follow("acme.scaled").Says("Example", "JSON Schema")
	w.as("shop").Open("/apps/shop/endpoints/"+e.ID+"/test").Submit("Show", "type", "acme.scaled").Submit("Send to " + e.Host).Says("Delivered")
	require.Contains(t, string(g.last().body), "acme.scaled")
}

// A handler prints no secret of its outbox.
func TestSecretsAreHidden(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	_, secret := w.endpointAt("shop", newTarget(t, 200).URL)
	hiddentest.RequireNotPrinted(t, []string{secret.Reveal(), "0123456789abcdefghijklmnopqrstuv"}, w.handler)
	hiddentest.RequireCovered(t, ".", nil, w.handler)
}
