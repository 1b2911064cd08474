package redisdedupe_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe/redisdedupe"
)

func TestClientLogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := redisdedupe.NewClientLogger(slog.New(slog.NewTextHandler(&out, nil)))
	_ = func() { redis.SetLogger(l) } // it has the method that go-redis wants
	for i := range 1000 {
		l.Printf(t.Context(), "dial %s: try %d", "10.0.0.1:6379", i)
	}
	require.Contains(t, out.String(), `level=WARN msg="redis: the client reports a problem" error="dial 10.0.0.1:6379: try 0"`)
	require.Equal(t, 20, strings.Count(out.String(), "\n"))
	require.NotNil(t, redisdedupe.NewClientLogger(nil))
}
