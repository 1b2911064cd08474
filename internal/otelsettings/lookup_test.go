package otelsettings_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/otelsettings"
	"github.com/deployhook/deployhook/payload"
)

// Types that are not declared share the value of "other".
func TestByType(t *testing.T) {
	t.Parallel()
	s, err := otelsettings.New([]option{func(s *otelsettings.Settings) { otelsettings.Declare(s, []payload.Type{"own.type"}) }})
	require.NoError(t, err)
	b := otelsettings.NewByType(s, func(label string) *string { return &label })
	require.Equal(t, "own.type", *b.Of("own.type"))
	require.Equal(t, "deploy.live", *b.Of("deploy.live"))
	require.Equal(t, "other", *b.Of("invented.by.customer"))
	require.Same(t, b.Of(""), b.Of("invented.by.customer"))
	require.Same(t, b.Of("own.type"), b.Of("own.type"))
}

// Each key gets one value, no matter how many goroutines ask for it at once.
func TestFew_AddsEachKeyOnce(t *testing.T) {
	t.Parallel()
	type key struct{ a, b string }
	var (
		few     otelsettings.Few[key, string]
		added   atomic.Int32
		readers sync.WaitGroup
	)
	keys := []key{{"a", ""}, {"", "a"}, {"a", "b"}, {"b", "a"}}
	for range 8 {
		readers.Go(func() {
			for range 100 {
				for _, k := range keys {
					got := few.Get(k, func(k key) string {
						added.Add(1)
						return k.a + "/" + k.b
					})
					if got != k.a+"/"+k.b {
						t.Errorf("%v has the value %s", k, got)
					}
				}
			}
		})
	}
	readers.Wait()
	require.EqualValues(t, len(keys), added.Load())
}

// A key is added later if adding it panicked.
func TestFew_AfterAPanic(t *testing.T) {
	t.Parallel()
	var few otelsettings.Few[string, int]
	require.Panics(t, func() { few.Get("a", func(string) int { panic("no") }) })
	require.Equal(t, 1, few.Get("a", func(string) int { return 1 }))
	require.Equal(t, 1, few.Get("a", func(string) int { return 2 }))
}
