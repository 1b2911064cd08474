package slack_test

import (
	"context"
	"testing"

	"github.com/deployhook/deployhook/sender/internal/formattest"
)

func BenchmarkEncode(b *testing.B) {
	f := newFormat(b)
	e := formattest.Events()["deploy_failed"]
	b.Run("floor", func(b *testing.B) { // the event itself, as JSON
		b.ReportAllocs()
		for b.Loop() {
			_, _ = e.Encode()
		}
	})
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _, _ = f.Encode(context.Background(), e)
		}
	})
}
