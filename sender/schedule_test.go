package sender_test

import (
	"math"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

const (
	sec = time.Second
	mnt = time.Minute
	hr  = time.Hour
)

// TestSchedules compares each schedule's shortest and longest waits with the
// documented ones.
func TestSchedules(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		schedule sender.Schedule
		least    []time.Duration
		most     []time.Duration
	}{
		"Platform": {
			sender.Platform,
			[]time.Duration{10 * sec, 30 * sec, 2 * mnt, 10 * mnt, hr},
			[]time.Duration{15 * sec, 40 * sec, 2*mnt + 30*sec, 11 * mnt, hr},
		},
		"StandardWebhooks": {
			sender.StandardWebhooks,
			[]time.Duration{5 * sec, 5 * mnt, 30 * mnt, 2 * hr, 5 * hr, 10 * hr, 14 * hr, 20 * hr, 24 * hr},
			[]time.Duration{5500 * time.Millisecond, 330 * sec, 33 * mnt, 132 * mnt, 330 * mnt, 11 * hr, 924 * mnt, 22 * hr, 1584 * mnt},
		},
		"Pipeline": {
			sender.Pipeline,
			[]time.Duration{1 * sec, 2 * sec, 4 * sec, 8 * sec, 16 * sec, 20 * sec},
			[]time.Duration{1500 * time.Millisecond, 3 * sec, 6 * sec, 12 * sec, 20 * sec, 24 * sec},
		},
		"Once": {sender.Once, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := c.schedule()
			require.Equal(t, c.least, waits(b, false))
			b.Reset()
			require.Equal(t, c.most, waits(b, true), "after Reset")
			require.Equal(t, backoff.Stop, b.NextBackOff(), "once stopped, it stays so")
			require.NotSame(t, b, c.schedule(), "each delivery has its own")
		})
	}
}

func TestPipelineTakesAboutAMinute(t *testing.T) {
	t.Parallel()
	sum := func(all []time.Duration) (d time.Duration) {
		for _, w := range all {
			d += w
		}
		return d
	}
	require.GreaterOrEqual(t, sum(waits(sender.Pipeline(), false)), 50*sec)
	require.LessOrEqual(t, sum(waits(sender.Pipeline(), true)), 70*sec)
}

// TestSchedulesAreJittered checks that 100 deliveries that fail together do not
// return together.
func TestSchedulesAreJittered(t *testing.T) {
	t.Parallel()
	for name, schedule := range map[string]sender.Schedule{
		"Platform": sender.Platform, "StandardWebhooks": sender.StandardWebhooks, "Pipeline": sender.Pipeline,
	} {
		first := map[time.Duration]bool{}
		for range 100 {
			first[schedule().NextBackOff()] = true
		}
		require.Greater(t, len(first), 90, name)
	}
}

func TestScaled(t *testing.T) {
	t.Parallel()
	b := sender.Scaled(sender.Once, 1)()
	require.Equal(t, backoff.Stop, b.NextBackOff(), "Stop is not a wait to be scaled")

	constant := func() backoff.BackOff { return backoff.NewConstantBackOff(3 * sec) }
	require.Equal(t, 30*time.Millisecond, sender.Scaled(constant, 0.01)().NextBackOff())
	require.Zero(t, sender.Scaled(constant, 0)().NextBackOff())

	for _, factor := range []float64{-1, 1.5, math.NaN(), math.Inf(1), math.Inf(-1)} {
		_, err := sender.New(sender.WithSchedule(sender.Scaled(constant, factor)))
		require.ErrorIs(t, err, sender.ErrConfig)
		require.ErrorContains(t, err, "Scaled", factor)
	}
	_, err := sender.New(sender.WithSchedule(sender.Scaled(nil, 1)))
	require.ErrorIs(t, err, sender.ErrConfig)
	_, err = sender.New(sender.WithSchedule(sender.Scaled(func() backoff.BackOff { return nil }, 1)))
	require.ErrorIs(t, err, sender.ErrConfig)
}

func waits(b backoff.BackOff, largest bool) (all []time.Duration) {
	sender.SetRand(b, largest)
	for {
		d := b.NextBackOff()
		if d < 0 {
			return all
		}
		all = append(all, d)
	}
}
