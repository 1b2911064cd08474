package inbox

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var leaseRounds = flag.Int("inbox.lease.rounds", 500, "number of leases that TestLeases_HandlersNeverOverlap takes")

// memoryLeases is a leaseTable in virtual time. Failing calls fail before or
// after they take effect.
type memoryLeases struct {
	mu    sync.Mutex
	claim int64
	until time.Time

	fails func(call string) (before, after bool)
	late  map[string]time.Duration // until the answer of a call that did not fail
}

var errTable = errors.New("the table is down")

func (m *memoryLeases) do(call string, change func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, after := m.fails(call)
	if before {
		return errTable
	}
	change()
	if after {
		return errTable
	}
	return nil
}

func (m *memoryLeases) take(_ context.Context, _ []byte, claim int64, length time.Duration) (at position, ok bool, err error) {
	err = m.do("take", func() {
		if ok = !time.Now().Before(m.until); ok {
			m.claim, m.until = claim, time.Now().Add(length)
		}
	})
	m.answer("take", err)
	return at, ok && err == nil, err
}

func (m *memoryLeases) renew(_ context.Context, claims []int64, length time.Duration) (renewed []int64, err error) {
	err = m.do("renew", func() {
		for _, claim := range claims {
			if claim == m.claim && time.Now().Before(m.until) {
				m.until = time.Now().Add(length)
				renewed = append(renewed, claim)
			}
		}
	})
	m.answer("renew", err)
	return renewed, err
}

func (m *memoryLeases) answer(call string, err error) {
	if err == nil {
		time.Sleep(m.late[call]) // in virtual time
	}
}

func (m *memoryLeases) release(_ context.Context, claims []int64) error {
	return m.do("release", func() {
		for _, claim := range claims {
			if claim == m.claim {
				m.claim, m.until = 0, time.Time{}
			}
		}
	})
}

const leaseLength = 10 * time.Second

func newLeases(t *testing.T, table leaseTable) *leases {
	t.Helper()
	ls := &leases{table: table, length: leaseLength, logger: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	var upkeep sync.WaitGroup
	upkeep.Go(func() {
		ticker := time.NewTicker(leaseLength / 4)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				ls.renew(ctx)
			}
		}
	})
	t.Cleanup(func() { cancel(); upkeep.Wait() })
	return ls
}

func never2(string) (bool, bool) { return false, false }

// Workers of two processes handle the events of one deployment. A third of all
// calls and more than half of the renewals fail. A handler may continue after
// its lease ended, but its context must end before another handler starts.
func TestLeases_HandlersNeverOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		table := &memoryLeases{fails: func(call string) (bool, bool) {
			return r.IntN(6) == 0 || call == "renew" && r.IntN(2) == 0, r.IntN(6) == 0
		}}
		processes := []*leases{newLeases(t, table), newLeases(t, table)}
		var mu sync.Mutex
		current, taken, told := context.Context(nil), 0, 0
		var workers sync.WaitGroup
		for i := range 6 {
			ls, r := processes[i%2], rand.New(rand.NewPCG(3, uint64(i)))
			workers.Go(func() {
				for {
					l, err := ls.take(t.Context(), nil)
					mu.Lock()
					if taken >= *leaseRounds {
						mu.Unlock()
						if l != nil {
							ls.release(t.Context(), l)
						}
						return
					}
					if l == nil {
						mu.Unlock()
						assert.True(t, err == nil || errors.Is(err, errTable))
						time.Sleep(time.Duration(r.IntN(1000)) * time.Millisecond)
						continue
					}
					ctx, done := l.context(t.Context())
					if current != nil && current.Err() == nil {
						t.Error("a handler started while another had its lease")
					}
					current = ctx
					taken++
					mu.Unlock()
					select {
					case <-time.After(time.Duration(r.IntN(3)) * leaseLength * 2 / 3):
					case <-ctx.Done():
						assert.ErrorIs(t, context.Cause(ctx), ErrLeaseLost)
						assert.True(t, l.lost())
						mu.Lock()
						told++
						mu.Unlock()
					}
					done()
					ls.release(t.Context(), l)
				}
			})
		}
		workers.Wait()
		t.Logf("%d leases, %d of which ended while their handler ran", taken, told)
		require.NotZero(t, told)
	})
}

// A failed release delays the deployment by at most one lease, even while its
// process keeps renewing other leases.
func TestLeases_FailedReleaseDelaysByOneLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := &memoryLeases{fails: func(call string) (bool, bool) { return call == "release", false }}
		ls := newLeases(t, table)
		l, err := ls.take(t.Context(), nil)
		require.NoError(t, err)
		time.Sleep(3 * leaseLength)
		ls.release(t.Context(), l)
		start := time.Now()
		for {
			next, err := ls.take(t.Context(), nil)
			require.NoError(t, err)
			if next != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		require.LessOrEqual(t, time.Since(start), leaseLength)
	})
}

func TestLeases_ReleaseIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, lost := range []string{"release", "take"} {
		synctest.Test(t, func(t *testing.T) {
			var failing atomic.Bool
			failing.Store(true)
			table := &memoryLeases{fails: func(call string) (before, after bool) {
				failed := failing.Load() && call == lost
				return failed && lost == "release", failed && lost == "take"
			}}
			ls := newLeases(t, table)
			l, err := ls.take(t.Context(), nil)
			if lost == "take" { // granted, but the answer was lost
				require.ErrorIs(t, err, errTable)
			} else {
				require.NoError(t, err)
				ls.release(t.Context(), l)
			}
			failing.Store(false)
			time.Sleep(leaseLength/4 + time.Millisecond)
			next, err := ls.take(t.Context(), nil)
			require.NoError(t, err)
			require.NotNil(t, next, "the next renewal releases it")
			ls.release(t.Context(), next)
		})
	}
}

func TestLeases_RenewedWhileHandlerRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ls := newLeases(t, &memoryLeases{fails: never2})
		l, err := ls.take(t.Context(), nil)
		require.NoError(t, err)
		ctx, done := l.context(t.Context())
		time.Sleep(10 * leaseLength)
		require.NoError(t, ctx.Err())
		done()
		ls.release(t.Context(), l)
	})
}

// The table may have granted a lease as soon as it was asked, however late its
// answer came.
func TestLeases_CountFromTheQuestion(t *testing.T) {
	t.Parallel()
	for call, want := range map[string]time.Duration{"take": leaseLength, "renew": leaseLength/4 + leaseLength} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				renewals := 0
				ls := newLeases(t, &memoryLeases{late: map[string]time.Duration{call: 2 * time.Second}, fails: func(now string) (before, after bool) {
					if now == "renew" {
						renewals++
						return call == "take" || renewals > 1, false
					}
					return false, false
				}})
				start := time.Now()
				l, err := ls.take(t.Context(), nil)
				require.NoError(t, err)
				ctx, done := l.context(t.Context())
				defer done()
				<-ctx.Done()
				require.Equal(t, want, time.Since(start))
				require.ErrorIs(t, context.Cause(ctx), ErrLeaseLost)
				ls.release(t.Context(), l)
			})
		})
	}
}

// LeaseTable returns the table of an inbox, for tests on both databases.
func (in *Inbox) LeaseTable() interface {
	Take(ctx context.Context, key []byte, claim int64, length time.Duration) (bool, error)
	Renew(ctx context.Context, claims []int64, length time.Duration) ([]int64, error)
	Release(ctx context.Context, claims []int64) error
} {
	return exportedLeases{sqlLeases{in}}
}

type exportedLeases struct{ t sqlLeases }

func (e exportedLeases) Take(ctx context.Context, key []byte, claim int64, length time.Duration) (bool, error) {
	_, ok, err := e.t.take(ctx, key, claim, length)
	return ok, err
}

func (e exportedLeases) Renew(ctx context.Context, claims []int64, length time.Duration) ([]int64, error) {
	return e.t.renew(ctx, claims, length)
}

func (e exportedLeases) Release(ctx context.Context, claims []int64) error {
	return e.t.release(ctx, claims)
}
