package redisdedupe_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/dedupetest"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

// real runs the conformance suite on servers whose clock cannot be moved.
var real = flag.Bool("dedupe.real", false, "run the conformance suite in real time on Redis servers, for a minute; without it the embedded server runs it")

var ids = flag.Int("dedupe.ids", 100, "how many deliveries are claimed by 1,000 callers each, on the real server")

// mini is an embedded server with a clock that moves only on request.
type mini struct {
	*miniredis.Miniredis
	now time.Time
}

func newMini(t testing.TB) *mini {
	m := &mini{miniredis.RunT(t), time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	m.SetTime(m.now)
	return m
}

// advance moves both of its clocks, the one behind TIME and the one that
// expires keys.
func (m *mini) advance(d time.Duration) {
	m.now = m.now.Add(d)
	m.SetTime(m.now)
	m.FastForward(d)
}

func (m *mini) options() *redis.Options {
	return &redis.Options{Addr: m.Addr(), ContextTimeoutEnabled: true}
}

func TestEmbeddedServerConforms(t *testing.T) {
	t.Parallel()
	dedupetest.Run(t, dedupetest.Config{
		New: func(t testing.TB, ttl time.Duration) dedupetest.Subject {
			m := newMini(t)
			return dedupetest.Subject{
				Store:   newStore(t, newClient(t, m.options()), redisdedupe.WithTTL(ttl)),
				Other:   newStore(t, newClient(t, m.options()), redisdedupe.WithTTL(ttl)),
				Advance: m.advance,
			}
		},
		Copies: 100, IDs: 20, Remembered: 1000,
	})
}

// realTime returns settings for servers whose clock cannot be moved. No answer
// takes as long as the slack.
func realTime(newSubject func(t testing.TB, ttl time.Duration) dedupetest.Subject) dedupetest.Config {
	return dedupetest.Config{
		New:        newSubject,
		Lease:      10 * time.Second,
		TTL:        40 * time.Second,
		Slack:      5 * time.Second,
		Parallel:   true,
		Remembered: 200, // TestManyAreRemembered uses more
		IDs:        20,  // TestManyClaims uses more
	}
}

func TestServerConforms(t *testing.T) {
	if !*real {
		t.Skip("without -dedupe.real")
	}
	t.Parallel()
	o := options(t, servicetest.RedisURL(t))
	o.PoolSize = 32
	one, two := newClient(t, o), newClient(t, o)
	c := realTime(func(t testing.TB, ttl time.Duration) dedupetest.Subject {
		prefix := redisdedupe.WithPrefix(freshPrefix(t, one))
		return dedupetest.Subject{
			Store: newStore(t, one, redisdedupe.WithTTL(ttl), prefix),
			Other: newStore(t, two, redisdedupe.WithTTL(ttl), prefix),
		}
	})
	dedupetest.Run(t, c)
}

// pipelined combines the scripts of concurrent callers into common round trips.
type pipelined struct {
	redis.UniversalClient
	auto *redis.AutoPipeliner
}

func newPipelined(t testing.TB, o *redis.Options) pipelined {
	t.Helper()
	client := newClient(t, o)
	auto, err := client.AutoPipeline()
	require.NoError(t, err)
	t.Cleanup(func() { _ = auto.Close() })
	return pipelined{client, auto}
}

func (p pipelined) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	return p.auto.EvalSha(ctx, sha1, keys, args...)
}

// The test claims each delivery a thousand times, which makes a million claims
// with -dedupe.ids=1000. It is one check of the suite, with clients that can
// handle so many. It does not run in parallel, because it would starve the
// tests that measure time.
func TestManyClaims(t *testing.T) {
	o := options(t, servicetest.RedisURL(t))
	one, two := newPipelined(t, o), newPipelined(t, o)
	prefix := redisdedupe.WithPrefix(freshPrefix(t, one))
	ran := false
	c := dedupetest.Config{
		New: func(t testing.TB, ttl time.Duration) dedupetest.Subject {
			return dedupetest.Subject{
				Store: newStore(t, one, redisdedupe.WithTTL(ttl), prefix),
				Other: newStore(t, two, redisdedupe.WithTTL(ttl), prefix),
			}
		},
		Around: func(t *testing.T, check func(t *testing.T)) {
			if strings.HasSuffix(t.Name(), "/one_of_many_copies_is_handled") {
				ran = true
				check(t)
			}
		},
	}
	if !testing.Short() {
		c.IDs = *ids
	}
	dedupetest.Run(t, c)
	require.True(t, ran)
}

func TestManyAreRemembered(t *testing.T) {
	t.Parallel()
	const n, workers = 20_000, 16
	client := newClient(t, options(t, servicetest.RedisURL(t)))
	s := newStore(t, client, redisdedupe.WithPrefix(freshPrefix(t, client)))
	each := func(f func(id int) error) {
		var wg sync.WaitGroup
		errs := make([]error, workers)
		for w := range workers {
			wg.Go(func() {
				for id := w; id < n && errs[w] == nil; id += workers {
					errs[w] = f(id)
				}
			})
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
	}
	each(func(id int) error {
		c, err := s.Claim(t.Context(), testKey(strconv.Itoa(id)), time.Minute)
		if err != nil {
			return err
		}
		return s.Complete(t.Context(), c)
	})
	each(func(id int) error {
		c, err := s.Claim(t.Context(), testKey(strconv.Itoa(id)), time.Minute)
		if err == nil && c.State != dedupe.Completed {
			return fmt.Errorf("delivery %d is %v", id, c.State)
		}
		return err
	})
}
