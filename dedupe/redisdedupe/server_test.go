package redisdedupe_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

var crashes = flag.Int("dedupe.crashes", 3, "how often the server is killed under load")

// impatient returns a client that does not repeat commands, so that a test sees
// each failure.
func impatient(t testing.TB, url string) *redis.Client {
	t.Helper()
	o := options(t, url)
	o.MaxRetries = -1
	return newClient(t, o)
}

func TestKilledServerKeepsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	server := servicetest.StartRedis(t)
	s := newStore(t, impatient(t, server.URL()))
	const lease = 2 * time.Second
	long := claim(t, s, testKey("long"), time.Hour)
	short := claim(t, s, testKey("short"), lease)
	released := claim(t, s, testKey("released"), time.Hour)
	require.NoError(t, s.Release(t.Context(), released))
	done := claim(t, s, testKey("done"), time.Hour)
	require.NoError(t, s.Complete(t.Context(), done))

	server.Kill()
	for _, err := range []error{
		s.Complete(t.Context(), long), s.Release(t.Context(), long), s.Renew(t.Context(), long, time.Minute), s.Ready(t.Context()),
	} {
		require.Error(t, err)
		require.NotErrorIs(t, err, dedupe.ErrLeaseLost)
	}
	c, err := s.Claim(t.Context(), testKey("done"), time.Minute)
	require.Error(t, err)
	require.Zero(t, c)
	server.Restart()

	requireState(t, s, done.Key, dedupe.Completed)
	require.ErrorIs(t, s.Release(t.Context(), done), dedupe.ErrLeaseLost)
	requireState(t, s, long.Key, dedupe.InFlight)
	require.NoError(t, s.Renew(t.Context(), long, time.Hour))
	require.NoError(t, s.Complete(t.Context(), long))
	require.Greater(t, claim(t, s, released.Key, time.Hour).Token, released.Token)

	var successor dedupe.Claim
	require.Eventually(t, func() bool {
		var err error
		successor, err = s.Claim(t.Context(), short.Key, time.Hour)
		return err == nil && successor.State == dedupe.Claimed
	}, patience, 50*time.Millisecond)
	require.Greater(t, successor.Token, short.Token)
	require.ErrorIs(t, s.Complete(t.Context(), short), dedupe.ErrLeaseLost)
	require.NoError(t, s.Complete(t.Context(), successor))
}

// delivery is one delivery that workers handle while the server is killed again
// and again.
type delivery struct {
	key    dedupe.Key
	tokens []dedupe.Token
	// acknowledged is true after a Complete without an error. From then on no
	// worker may get a claim.
	acknowledged bool
}

// handle tries until the delivery is completed, as a sender's retries would.
func (d *delivery) handle(ctx context.Context, s dedupe.Store) error {
	for ctx.Err() == nil {
		c, err := s.Claim(ctx, d.key, time.Second)
		switch {
		case err != nil || c.State == dedupe.InFlight:
			time.Sleep(5 * time.Millisecond) // a sender's backoff
			continue
		case c.State == dedupe.Completed:
			return nil
		case d.acknowledged:
			return fmt.Errorf("claimed with token %d after its completion was acknowledged", c.Token)
		case len(d.tokens) > 0 && c.Token <= d.tokens[len(d.tokens)-1]:
			return fmt.Errorf("token %d follows %v", c.Token, d.tokens)
		}
		d.tokens = append(d.tokens, c.Token)
		if s.Complete(ctx, c) == nil {
			d.acknowledged = true // run once more, to find it completed
		}
	}
	return ctx.Err()
}

func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	server := servicetest.StartRedis(t)
	s := newStore(t, impatient(t, server.URL()))
	var (
		wg      sync.WaitGroup
		stop    = make(chan struct{})
		mu      sync.Mutex
		handled []*delivery
		errs    []error
	)
	for worker := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				d := &delivery{key: testKey(fmt.Sprint(worker, "-", i))}
				err := d.handle(t.Context(), s)
				mu.Lock()
				handled, errs = append(handled, d), append(errs, err)
				mu.Unlock()
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(handled)
	}
	for range *crashes {
		before := count()
		require.Eventually(t, func() bool { return count() > before+50 }, patience, time.Millisecond)
		server.Kill()
		server.Restart()
	}
	close(stop)
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	again := 0
	for _, d := range handled {
		requireState(t, s, d.key, dedupe.Completed)
		require.NotEmpty(t, d.tokens, "completed without ever having been claimed")
		again += len(d.tokens) - 1
	}
	t.Logf("%d deliveries handled, %d of them again", len(handled), again)
}

func TestPausedServer(t *testing.T) {
	t.Parallel()
	server := servicetest.StartRedis(t)
	o := options(t, server.URL())
	o.ReadTimeout = 2 * patience // the client's own limit for each attempt
	repeating := newStore(t, newClient(t, o))
	o = options(t, server.URL())
	o.ReadTimeout, o.MaxRetries = 2*patience, -1
	once := newStore(t, newClient(t, o))
	held := claim(t, repeating, testKey("held"), time.Hour)
	requireState(t, once, held.Key, dedupe.InFlight)
	server.Pause()
	for _, s := range []*redisdedupe.Store{repeating, once} {
		for call, run := range map[string]func(context.Context) error{
			"Claim": func(ctx context.Context) error {
				c, err := s.Claim(ctx, testKey("new"), time.Second)
				require.Zero(t, c)
				return err
			},
			"Renew":    func(ctx context.Context) error { return s.Renew(ctx, held, time.Hour) },
			"Complete": func(ctx context.Context) error { return s.Complete(ctx, held) },
			"Release":  func(ctx context.Context) error { return s.Release(ctx, held) },
			"Ready":    s.Ready,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			start := time.Now()
			err := run(ctx)
			cancel()
			require.Less(t, time.Since(start), patience, call)
			require.ErrorIs(t, err, context.DeadlineExceeded, call)
		}
	}
	server.Resume()
}

func TestScriptsAreSentAgain(t *testing.T) {
	t.Parallel()
	server := servicetest.StartRedis(t)
	client := newClient(t, options(t, server.URL()))
	s := newStore(t, client)
	flush := func() { require.NoError(t, client.ScriptFlush(t.Context()).Err()) }
	for range 2 {
		flush()
		c := claim(t, s, testKey("flushed"), time.Minute)
		flush()
		require.NoError(t, s.Renew(t.Context(), c, time.Hour))
		flush()
		require.NoError(t, s.Release(t.Context(), c))
	}
	flush()
	require.NoError(t, s.Complete(t.Context(), claim(t, s, testKey("flushed"), time.Minute)))
	flush()
	requireState(t, s, testKey("flushed"), dedupe.Completed)
}

// A full server refuses new deliveries and forgets none.
func TestFullServer(t *testing.T) {
	t.Parallel()
	server := servicetest.StartRedis(t, "--maxmemory", "8mb", "--maxmemory-policy", "noeviction")
	client := newClient(t, options(t, server.URL()))
	s := newStore(t, client)
	require.NoError(t, s.Ready(t.Context()))
	const lease = 5 * time.Second
	done := claim(t, s, testKey("done"), time.Hour)
	require.NoError(t, s.Complete(t.Context(), done))
	released := claim(t, s, testKey("released"), time.Hour)
	require.NoError(t, s.Release(t.Context(), released))
	held := []dedupe.Claim{claim(t, s, testKey("0"), time.Hour), claim(t, s, testKey("1"), time.Hour)}
	late := claim(t, s, testKey("late"), lease)
	ended := claim(t, s, testKey("ended"), lease)
	fill(t, client)

	newKey := testKey("new")
	_, err := s.Claim(t.Context(), newKey, time.Minute)
	require.ErrorIs(t, err, dedupe.ErrFull)
	require.ErrorIs(t, s.Ready(t.Context()), dedupe.ErrFull)

	requireState(t, s, done.Key, dedupe.Completed)
	requireState(t, s, held[0].Key, dedupe.InFlight)
	require.NoError(t, s.Renew(t.Context(), held[0], time.Hour))
	require.NoError(t, s.Complete(t.Context(), held[0]))
	requireState(t, s, held[0].Key, dedupe.Completed)
	require.NoError(t, s.Release(t.Context(), held[1]))
	// A delivery with a record needs no more room.
	claim(t, s, held[1].Key, time.Hour)
	require.Greater(t, claim(t, s, released.Key, time.Hour).Token, released.Token)
	require.Eventually(t, func() bool {
		c, err := s.Claim(t.Context(), ended.Key, time.Hour)
		return err == nil && c.State == dedupe.Claimed
	}, patience, 50*time.Millisecond)
	require.NoError(t, s.Complete(t.Context(), late))
	requireState(t, s, late.Key, dedupe.Completed)

	// Only a completion without a record needs room.
	require.NoError(t, client.Del(t.Context(), redisdedupe.DefaultPrefix+string(late.Key[:])).Err())
	require.ErrorIs(t, s.Complete(t.Context(), late), dedupe.ErrFull)

	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "100mb").Err())
	claim(t, s, newKey, time.Minute)
	require.NoError(t, s.Complete(t.Context(), late))
	require.NoError(t, s.Ready(t.Context()))
}

// fill uses all memory that the server may allocate.
func fill(t testing.TB, client *redis.Client) {
	t.Helper()
	for size := 1 << 20; size >= 1<<10; size /= 2 {
		for i := 0; ; i++ {
			err := client.Set(t.Context(), fmt.Sprint("filler ", size, " ", i), strings.Repeat("x", size), 0).Err()
			if redis.IsOOMError(err) {
				break
			}
			require.NoError(t, err)
		}
	}
	// The memory of connections varies, so exceed the limit clearly.
	used, err := client.Info(t.Context(), "memory").Result()
	require.NoError(t, err)
	require.Contains(t, used, "maxmemory_policy:noeviction")
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "7mb").Err())
}

func TestCheck(t *testing.T) {
	t.Parallel()
	server := servicetest.StartRedis(t)
	client := newClient(t, options(t, server.URL()))
	s := newStore(t, client)
	set := func(name, value string) { require.NoError(t, client.ConfigSet(t.Context(), name, value).Err()) }

	require.NoError(t, s.Ready(t.Context()))
	n, err := client.DBSize(t.Context()).Result()
	require.NoError(t, err)
	require.LessOrEqual(t, n, int64(1))
	require.Eventually(t, func() bool {
		n, err := client.DBSize(t.Context()).Result()
		return err == nil && n == 0
	}, patience, 50*time.Millisecond, "a check leaves nothing behind")

	set("maxmemory-policy", "allkeys-lru")
	require.NoError(t, s.Ready(t.Context()), "without a limit nothing is evicted")
	set("maxmemory", "100mb")
	for _, policy := range []string{"allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-random", "volatile-ttl"} {
		set("maxmemory-policy", policy)
		err := s.Ready(t.Context())
		require.ErrorIs(t, err, redisdedupe.ErrUnsafe)
		require.ErrorContains(t, err, "set maxmemory-policy noeviction")
		require.ErrorContains(t, err, policy)
	}
	set("maxmemory-policy", "noeviction")
	require.NoError(t, s.Ready(t.Context()))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Ready(ctx), context.Canceled)

	require.NoError(t, client.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())
	require.Error(t, s.Ready(t.Context()), "a replica")
}

// The documented rights are enough, and Ready detects a user without them.
func TestPermissions(t *testing.T) {
	t.Parallel()
	server := servicetest.StartRedis(t)
	admin := newClient(t, options(t, server.URL()))
	setUser := strings.Fields("ACL SETUSER deploys on >canary-password ~deployhook:dedupe:* " +
		"+evalsha +eval +get +set +pexpire +time +info +cluster|slots +cluster|shards +command +hello +client +ping")
	args := make([]any, len(setUser))
	for i, a := range setUser {
		args[i] = a
	}
	require.NoError(t, admin.Do(t.Context(), args...).Err())
	o := options(t, server.URL())
	o.Username, o.Password = "deploys", "canary-password"
	s := newStore(t, newClient(t, o))
	require.NoError(t, s.Ready(t.Context()))
	c := claim(t, s, testKey("permitted"), time.Minute)
	require.NoError(t, s.Renew(t.Context(), c, time.Minute))
	require.NoError(t, s.Release(t.Context(), c))
	require.NoError(t, s.Complete(t.Context(), c))

	elsewhere := newStore(t, newClient(t, o), redisdedupe.WithPrefix("elsewhere:"))
	require.Error(t, elsewhere.Ready(t.Context()))
	_, err := elsewhere.Claim(t.Context(), c.Key, time.Minute)
	require.Error(t, err)
	requireNoSecret(t, err)
}

func requireNoSecret(t testing.TB, values ...any) {
	t.Helper()
	for _, v := range values {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			require.NotContains(t, fmt.Sprintf(format, v), "canary", "a secret is shown")
		}
	}
}

func TestErrorsShowNoPassword(t *testing.T) {
	t.Parallel()
	server := servicetest.StartRedis(t) // it does not know the user
	wrong := options(t, server.URL())
	wrong.Username, wrong.Password, wrong.MaxRetries = "canary-user", "canary-password", -1
	refused := options(t, "redis://canary-user:canary-password@127.0.0.1:1/0?max_retries=-1")
	for _, o := range []*redis.Options{wrong, refused} {
		s := newStore(t, newClient(t, o))
		c := dedupe.Claim{Key: testKey("secret"), State: dedupe.Claimed, Token: 1}
		_, claimErr := s.Claim(t.Context(), c.Key, time.Minute)
		for _, err := range []error{claimErr, s.Renew(t.Context(), c, time.Minute), s.Complete(t.Context(), c), s.Release(t.Context(), c), s.Ready(t.Context())} {
			require.Error(t, err)
			requireNoSecret(t, err)
		}
		requireNoSecret(t, s)
	}
}
