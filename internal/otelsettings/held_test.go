package otelsettings_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/internal/otelsettings"
)

func TestHeld(t *testing.T) {
	t.Parallel()
	var got [][]int
	h := otelsettings.NewHeld(func(_ context.Context, all []int) { got = append(got, append([]int(nil), all...)) })
	sampled := trace.NewSpanContext(trace.SpanContextConfig{TraceFlags: trace.FlagsSampled})
	end := func(n int) { h.End(t.Context(), trace.SpanContext{}, n) }

	end(1)
	require.Equal(t, [][]int{{1}}, got, "nothing is held before the first collection")
	h.Collect()
	end(2)
	end(3)
	require.Len(t, got, 1)
	h.End(t.Context(), sampled, 4)
	require.Equal(t, [][]int{{1}, {4}}, got)
	h.Collect()
	require.Equal(t, [][]int{{1}, {4}, {2, 3}}, got)
	h.Collect()
	h.Flush()
	require.Len(t, got, 3, "there was nothing to measure")
	for n := range 100 {
		end(n)
	}
	require.Len(t, got, 4)
	require.Len(t, got[3], 64)
	h.Flush()
	require.Len(t, got[4], 36)
}

// A panic of a provider loses what it was given and nothing else.
func TestHeld_AfterAPanic(t *testing.T) {
	t.Parallel()
	var got []int
	fails := true
	h := otelsettings.NewHeld(func(_ context.Context, all []int) {
		if fails {
			panic("no")
		}
		got = append(got, all...)
	})
	h.Collect()
	h.End(t.Context(), trace.SpanContext{}, 1)
	require.Panics(t, h.Flush)
	fails = false
	h.End(t.Context(), trace.SpanContext{}, 2)
	h.Flush()
	require.Equal(t, []int{2}, got)
}
