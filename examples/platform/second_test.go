package main

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/examples/platform/internal/engine"
	"github.com/deployhook/deployhook/payload"
)

// A second platform would treat the first one's deployments as those of a
// killed platform.
func TestLock_OnePlatformPerDatabase(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		testSecond(t, nil)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		testSecond(t, []string{"PLATFORM_DATABASE=" + database(t), "PLATFORM_SEALING_KEY=" + newKey()})
	})
}

func testSecond(t *testing.T, env []string) {
	dir, c := t.TempDir(), listen(t)
	p := start(t, dir, env)
	require.NotNil(t, p.api, p.output())
	p.register(c, "")
	d := p.begin("sick", "v1")
	p.await(d.ID, func(d engine.Deployment) bool { return d.Step == engine.StepStarting })

	second := start(t, dir, env, "-lock-wait", "0")
	require.Nil(t, second.api, second.output())
	require.Equal(t, 1, second.ended())
	require.Contains(t, second.output(), "another platform runs on this database")
	require.Equal(t, payload.StatusInProgress, p.await(d.ID, func(engine.Deployment) bool { return true }).Status)

	next := launch(t, dir, env, "-lock-wait", patience.String())
	next.says(waiting)
	require.Zero(t, p.stop(syscall.SIGTERM), p.output())
	next.ready()
	require.NotNil(t, next.api, next.output())
	require.Zero(t, next.stop(syscall.SIGTERM))
}
