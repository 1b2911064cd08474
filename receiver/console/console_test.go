package console_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/console"
)

// The constructor names each mistake.
func TestNew(t *testing.T) {
	t.Parallel()
	authorize := func(*http.Request) (console.Access, error) { return console.Access{}, nil }
	_, err := console.New(authorize)
	require.ErrorIs(t, err, console.ErrConfig)
	require.ErrorContains(t, err, "there is nothing to show")
	_, err = console.New(nil, nil, console.WithInbox(nil), console.WithLogger(nil), console.WithName(""), console.WithTrustedOrigins("example.com"))
	for _, text := range []string{"the authorizer is nil", "an option is nil", "WithInbox", "WithLogger", "WithName", "WithTrustedOrigins"} {
		require.ErrorContains(t, err, text)
	}
}

// A source that is down costs the page, and the log says why.
func TestSourceIsDown(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	require.NoError(t, w.inbox.Close())
	w.as("olga").Open("/inbox").Refused(503, "The service can't answer now.", "Try again in a minute.")
}
