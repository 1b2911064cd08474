package sqldedupe_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/callbacktest"
)

// A granted claim is returned no matter what the hook does. Otherwise no worker
// would release it.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"WithPruneHook": func(t *testing.T, f *callbacktest.Fault) {
			s, err := sqldedupe.OpenSQLite(t.Context(), t.TempDir()+"/dedupe.db", sqldedupe.WithPruneHook(func(int64, error) { f.Happen() }))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			type granted struct {
				dedupe.Claim
				err error
			}
			c := callbacktest.Outlives(t, f, func() granted {
				c, err := s.Claim(t.Context(), key("1"), amply)
				return granted{c, err}
			})
			require.NoError(t, c.err)
			require.Equal(t, dedupe.Claimed, c.State)
			require.NoError(t, s.Complete(t.Context(), c.Claim))
			_, err = s.Prune(t.Context())
			require.NoError(t, err)
			require.Equal(t, map[callbacktest.Kind]uint64{callbacktest.Panics: 2, callbacktest.Exits: 2}[f.Kind], s.Faults()["WithPruneHook"])
		},
	})
}

func TestPruneHook_NilIsAConfigurationError(t *testing.T) {
	t.Parallel()
	_, err := sqldedupe.OpenSQLite(t.Context(), t.TempDir()+"/dedupe.db", sqldedupe.WithPruneHook(nil))
	require.ErrorIs(t, err, sqldedupe.ErrConfig)
	require.ErrorContains(t, err, "WithPruneHook")
}
