package leaktest_test

import (
	"strings"
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
	staying := strings.Count(strings.Join(leaktest.Leaked(0), "\n"), "leaktest_test.stayBehind(")
	close(stop)
	<-stopped
	require.Equal(t, 1, staying)
	require.Empty(t, leaktest.Leaked(time.Minute))
}

func stayBehind(started chan<- struct{}, stop <-chan struct{}, stopped chan<- struct{}) {
	close(started)
	<-stop
	close(stopped)
}
