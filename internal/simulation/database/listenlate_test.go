//go:build linux && (amd64 || arm64)

package database

import (
	"context"
	"errors"
	"testing"

	"github.com/riverqueue/river/riverdriver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recordingListener records the calls that it gets, and fails one of them.
type recordingListener struct {
	riverdriver.Listener
	calls []string
	fails string
}

var errListener = errors.New("the listener fails")

func (l *recordingListener) call(name string) error {
	l.calls = append(l.calls, name)
	if name == l.fails {
		l.fails = ""
		return errListener
	}
	return nil
}

func (l *recordingListener) Connect(context.Context) error { return l.call("connect") }
func (l *recordingListener) Close(context.Context) error   { return l.call("close") }
func (l *recordingListener) Ping(context.Context) error    { return l.call("ping") }

func (l *recordingListener) Listen(_ context.Context, topic string) error {
	return l.call("listen " + topic)
}

func (l *recordingListener) Unlisten(_ context.Context, topic string) error {
	return l.call("unlisten " + topic)
}

func (l *recordingListener) WaitForNotification(context.Context) (*riverdriver.Notification, error) {
	return nil, l.call("wait")
}

func TestLateListener_SubscribesWhenItWaits(t *testing.T) {
	t.Parallel()
	ctx, rec := t.Context(), &recordingListener{fails: "listen b"}
	l := &lateListener{Listener: rec}
	require.NoError(t, l.Connect(ctx))
	for _, topic := range []string{"a", "b", "c"} {
		require.NoError(t, l.Listen(ctx, topic))
	}
	require.NoError(t, l.Unlisten(ctx, "c"))
	assert.Empty(t, rec.calls, "nothing waits for the database yet")

	_, err := l.WaitForNotification(ctx)
	require.ErrorIs(t, err, errListener)
	_, err = l.WaitForNotification(ctx)
	require.NoError(t, err)
	assert.Equal(t, []string{"connect", "listen a", "listen b", "listen b", "wait"}, rec.calls)

	rec.calls = nil
	require.NoError(t, l.Listen(ctx, "d"))
	require.NoError(t, l.Ping(ctx))
	require.NoError(t, l.Unlisten(ctx, "a"))
	require.NoError(t, l.Close(ctx))
	assert.Equal(t, []string{"listen d", "ping", "unlisten a", "close"}, rec.calls)
}

func TestLateListener_CloseForgetsSubscriptions(t *testing.T) {
	t.Parallel()
	ctx, rec := t.Context(), &recordingListener{}
	l := &lateListener{Listener: rec}
	require.NoError(t, l.Connect(ctx))
	require.NoError(t, l.Listen(ctx, "a"))
	require.NoError(t, l.Close(ctx))
	require.NoError(t, l.Connect(ctx))
	_, err := l.WaitForNotification(ctx)
	require.NoError(t, err)
	assert.Equal(t, []string{"close", "connect", "wait"}, rec.calls)
}

func TestListenLate_NamesWhatItMisses(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, listenLate(&struct{ other int }{}), "has no listener")
	require.ErrorContains(t, listenLate(&struct{ client any }{}), "has no listener")
}
