package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// stuck plays a world and returns why it was said to be stuck.
func stuck(t *testing.T, patience, most time.Duration, build func(w *World, free <-chan struct{})) string {
	t.Helper()
	p, res, free, why := newPulse(), &result{seed: 1}, make(chan struct{}), make(chan string, 1)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.watch(patience, most, func(reason string) {
			why <- reason
			close(free)
		})
	}()
	bubble(t, Simulation{Build: func(w *World) { build(w, free) }, Longest: most}, res, p)
	close(p.ended)
	<-watched
	assert.Empty(t, res.broken)
	close(why)
	return <-why
}

func TestWatch_ClockStandsStill(t *testing.T) {
	t.Parallel()
	why := stuck(t, 200*time.Millisecond, time.Hour, func(_ *World, free <-chan struct{}) {
		time.Sleep(time.Minute) // the bubble's time
		<-free                  // a channel from outside of the bubble
	})
	assert.Contains(t, why, "its clock has stood still")
}

func TestWatch_WorldNeverEnds(t *testing.T) {
	t.Parallel()
	why := stuck(t, time.Minute, time.Hour, func(w *World, free <-chan struct{}) {
		for {
			select {
			case <-free:
				return
			default:
				time.Sleep(time.Minute) // the bubble's time
				w.Log("nothing")
			}
		}
	})
	assert.Contains(t, why, "it has not ended after a simulated time of")
}

func TestWatch_WorldThatEnds(t *testing.T) {
	t.Parallel()
	why := stuck(t, time.Minute, time.Hour, func(*World, <-chan struct{}) {
		time.Sleep(30 * time.Minute) // the bubble's time
	})
	assert.Empty(t, why)
}
