package receivertest

import (
	"log/slog"
	"testing"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// Source is the name of the source that [New] gives to the receiver.
const Source = "receivertest"

// New returns a receiver for a test. Its log goes to the test's output, where a
// failure shows why a request was refused. Options replace these defaults.
//
// It needs no clock. In a testing/synctest bubble, the receiver, the store and
// the requests all have the bubble's time.
func New(t testing.TB, v signer.Verifier, store dedupe.Store, opts ...receiver.Option) *receiver.Receiver {
	t.Helper()
	defaults := []receiver.Option{
		receiver.WithDedupe(store, Source),
		receiver.WithLogger(slog.New(slog.NewTextHandler(t.Output(), nil))),
	}
	return must(receiver.New(v, append(defaults, opts...)...))(t, "New")
}
