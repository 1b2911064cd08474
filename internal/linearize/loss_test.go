package linearize

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
)

// guard is a way to limit what a failover loses.
type guard struct {
	name string
	// configure changes the settings of the master.
	configure func(context.Context, *redis.Client) error
	// confirm is called after each call, on the same connection.
	confirm func(context.Context, *redis.Client) error
}

var guards = []guard{
	{name: "defaults"},
	{name: "min-replicas-to-write 1, max-lag 1", configure: func(ctx context.Context, c *redis.Client) error {
		return errors.Join(c.ConfigSet(ctx, "min-replicas-max-lag", "1").Err(), c.ConfigSet(ctx, "min-replicas-to-write", "1").Err())
	}},
	{name: "WAIT 1 100 after each call", confirm: func(ctx context.Context, c *redis.Client) error {
		if n, err := c.Wait(ctx, 1, 100*time.Millisecond).Result(); err != nil || n < 1 {
			return errors.Join(errors.New("not on the replica"), err)
		}
		return nil
	}},
}

// loss counts what failovers lost with one guard.
type loss struct {
	guard        string
	stopped      time.Duration
	failovers    int
	acknowledged int           // claims and completions in the last second before replication stopped, and until the failover
	refused      int           // calls that failed before the failover
	lost         int           // acknowledged claims and completions
	oldest       time.Duration // of the lost ones, before the failover
	late         time.Duration // from when replication stopped to the last lost one
}

// TestFailoverLoss measures how many acknowledged claims and completions a
// failover loses, after replication was stopped for some time. The table is
// printed with -v. The bounds in the documentation of package redisdedupe come
// from it.
func TestFailoverLoss(t *testing.T) {
	t.Parallel()
	if *full == 0 {
		t.Skip("takes a minute; set -linear.histories")
	}
	var results []*loss
	t.Run("with", func(t *testing.T) {
		for _, g := range guards {
			for _, stopped := range []time.Duration{0, time.Second, 6 * time.Second} {
				l := &loss{guard: g.name, stopped: stopped}
				results = append(results, l)
				t.Run(fmt.Sprintf("%s/%v", g.name, stopped), func(t *testing.T) {
					t.Parallel()
					for range max(1, *full/10) {
						l.measure(t, g)
					}
				})
			}
		}
	})
	t.Logf("\n%s", lossTable(results))
	for _, l := range results {
		switch {
		case l.guard == guards[2].name:
			require.Zero(t, l.lost, "a replica had all that WAIT confirmed")
		case l.guard == guards[1].name:
			require.Less(t, l.late, 5*time.Second, "the master accepted writes for long")
		case l.stopped > 0:
			require.NotZero(t, l.lost, "the test lost nothing")
		}
	}
}

func lossTable(results []*loss) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "master\treplication stopped\tfailovers\tacknowledged\trefused\tlost\toldest lost\tlast lost, after the stop\t")
	for _, l := range results {
		fmt.Fprintf(w, "%s\t%v\t%d\t%d\t%d\t%d\t%v\t%v\t\n", l.guard, l.stopped, l.failovers, l.acknowledged, l.refused, l.lost,
			l.oldest.Round(time.Millisecond), l.late.Round(time.Millisecond))
	}
	_ = w.Flush()
	return text.String()
}

// acknowledged is a claim that a master has confirmed, or its completion.
type acknowledged struct {
	key       dedupe.Key
	state     dedupe.State // in which others find the key
	began, at time.Time    // of the call, and of its answer
}

// measure makes one failover.
func (l *loss) measure(t *testing.T, g guard) {
	t.Helper()
	p := newPair(t)
	defer p.stop()
	direct := newRedis(p.master)
	if g.configure != nil {
		require.NoError(t, g.configure(t.Context(), direct))
	}
	require.NoError(t, direct.Close())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex
	var all []acknowledged
	var answers atomic.Int64
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			done, refused := p.work(ctx, t, g, &answers)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, done...)
			l.refused += refused
		})
	}
	bounded, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	pause(bounded, time.Second)
	stoppedAt := time.Now()
	if l.stopped > 0 {
		require.NoError(t, p.sync(bounded))
		p.proxy.hold()
		stoppedAt = time.Now()
		before := answers.Load()
		pause(bounded, l.stopped)
		// A slow machine may not have made a call meanwhile.
		require.Eventually(t, func() bool { return answers.Load() > before+20 }, patience, time.Millisecond)
	}
	killedAt := time.Now()
	p.master.Kill()
	stop()
	workers.Wait()
	require.NoError(t, p.failOver(bounded))
	l.failovers++
	l.count(t, p, all, stoppedAt, killedAt)
}

// work claims new keys until ctx ends, and completes every second one. It
// returns what the master has acknowledged, and the number of failed calls. It
// counts all answers.
func (p *pair) work(ctx context.Context, t *testing.T, g guard, answers *atomic.Int64) (done []acknowledged, refused int) {
	c := newFailoverClient(p.sentinel.Addr(), 1)
	defer c.Close()
	s, err := redisdedupe.New(c)
	require.NoError(t, err)
	confirmed := func(err error) bool {
		answers.Add(1)
		if err == nil && g.confirm != nil {
			err = g.confirm(ctx, c)
		}
		if err != nil && ctx.Err() == nil {
			refused++
			pause(ctx, backoff)
		}
		return err == nil
	}
	for n := 0; ctx.Err() == nil; n++ {
		pause(ctx, 2*time.Millisecond)
		key := dedupe.NewKey("loss", fmt.Sprintf("%p", c), fmt.Sprint(n))
		began := time.Now()
		got, err := s.Claim(ctx, key, time.Hour)
		if !confirmed(err) {
			continue
		}
		done = append(done, acknowledged{key, dedupe.InFlight, began, time.Now()})
		began = time.Now()
		if n%2 == 0 && confirmed(s.Complete(ctx, got)) {
			done = append(done, acknowledged{key, dedupe.Completed, began, time.Now()})
		}
	}
	return done, refused
}

// count asks the new master about the latest state of each key.
func (l *loss) count(t *testing.T, p *pair, all []acknowledged, stoppedAt, killedAt time.Time) {
	t.Helper()
	c := newRedis(p.replica)
	defer c.Close()
	s, err := redisdedupe.New(c)
	require.NoError(t, err)
	found := make(map[dedupe.Key]dedupe.State)
	for _, a := range all {
		if _, ok := found[a.key]; !ok {
			got, err := s.Claim(t.Context(), a.key, time.Hour)
			require.NoError(t, err)
			found[a.key] = got.State
		}
		if a.at.After(stoppedAt.Add(-time.Second)) {
			l.acknowledged++
		}
		kept := found[a.key] == a.state || found[a.key] == dedupe.Completed
		if !kept {
			l.lost++
			l.oldest = max(l.oldest, killedAt.Sub(a.at))
			l.late = max(l.late, a.began.Sub(stoppedAt))
		}
	}
}
