package leaktest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestLeakedNamesTheGoroutineThatStays(t *testing.T) {
	started, stop, stopped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go stayBehind(started, stop, stopped)
	<-started

	leaked := leaktest.Leaked(0)
	require.Len(t, leaked, 1)
	require.Contains(t, leaked[0], "stayBehind")

	close(stop)
	<-stopped
	require.Empty(t, leaktest.Leaked(time.Minute))
}

func stayBehind(started chan<- struct{}, stop <-chan struct{}, stopped chan<- struct{}) {
	close(started)
	<-stop
	close(stopped)
}
