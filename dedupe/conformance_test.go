package dedupe_test

import (
	"flag"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/dedupetest"
	"github.com/deployhook/deployhook/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var ids = flag.Int("dedupe.ids", 0, "how many deliveries are claimed by 1,000 callers each; 0: the default of the suite; the gate has 1,000")

func TestMemoryConforms(t *testing.T) {
	t.Parallel()
	dedupetest.Run(t, dedupetest.Config{
		New: func(t testing.TB, ttl time.Duration) dedupetest.Subject {
			return dedupetest.Subject{Store: newMemory(t, dedupe.WithTTL(ttl))}
		},
		NewBounded: func(t testing.TB, ttl time.Duration, keys int) dedupetest.Subject {
			return dedupetest.Subject{Store: newMemory(t, dedupe.WithTTL(ttl), dedupe.WithCapacity(keys))}
		},
		Around: synctest.Test,
		IDs:    *ids, // 1,000 copies of each arrive at the same time
	})
}

func newMemory(t testing.TB, opts ...dedupe.MemoryOption) *dedupe.Memory {
	t.Helper()
	m, err := dedupe.NewMemory(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}
