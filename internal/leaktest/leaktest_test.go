package leaktest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestLeakedNamesTheGoroutineThatStays(t *testing.T) {
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go stayBehind(stop, stopped)

	leaked := leaktest.Leaked(0)
	require.Len(t, leaked, 1)
	require.Contains(t, leaked[0], "stayBehind")

	close(stop)
	<-stopped
	require.Empty(t, leaktest.Leaked(time.Minute))
}

func stayBehind(stop <-chan struct{}, stopped chan<- struct{}) {
	<-stop
	close(stopped)
}
