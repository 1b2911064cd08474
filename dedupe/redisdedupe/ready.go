package redisdedupe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/deployhook/deployhook/dedupe"
)

// ErrUnsafe is wrapped by the errors of [Store.Ready] for a server that
// responds but would lose data that a store must keep.
var ErrUnsafe = errors.New("redisdedupe: the server is not safe for deduplication")

// leastMajor is the first major version that replicates the effects of a script
// instead of the script itself. In older versions a script must not write after
// reading the clock.
const leastMajor = 5

// Ready connects to Redis and checks the conditions that a store needs:
//
//   - The version is at least 5.
//   - The server does not evict keys to free memory. If maxmemory is set,
//     maxmemory-policy must be noeviction. Policies that begin with "volatile-"
//     would evict exactly the keys of a store.
//   - The server takes writes, and the user may run the scripts.
//
// In a Cluster, Ready looks at every master and writes to one. Call it when the
// service starts, and for the readiness of the service, since the policy may be
// changed while the server runs. The service may start in spite of an error,
// because every later call of the store that gets no answer returns an error.
//
// Ready runs INFO, and claims and completes a delivery with a random key that
// Redis forgets after two seconds. It does not check persistence. The package
// documentation describes what is lost without it.
//
// An error about an unsafe server wraps [ErrUnsafe] and says what to change. A
// full server gives [dedupe.ErrFull]. Other errors are the context's error and
// connection failures.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.eachServer(ctx, checkServer); err != nil {
		if errors.Is(err, ErrUnsafe) {
			return err
		}
		return failure(ctx, "ready", err)
	}
	return s.checkScripts(ctx)
}

// eachServer calls f for each server that may hold keys.
func (s *Store) eachServer(ctx context.Context, f func(context.Context, redis.Cmdable) error) error {
	each := func(ctx context.Context, c *redis.Client) error { return f(ctx, c) }
	switch c := s.client.(type) {
	case *redis.ClusterClient:
		return c.ForEachMaster(ctx, each)
	case *redis.Ring:
		return c.ForEachShard(ctx, each)
	}
	return f(ctx, s.client)
}

func checkServer(ctx context.Context, c redis.Cmdable) error {
	text, err := c.Info(ctx).Result()
	if err != nil {
		return err
	}
	info := parseInfo(text)
	major, _, _ := strings.Cut(info["redis_version"], ".")
	if n, err := strconv.Atoi(major); err != nil || n < leastMajor {
		return fmt.Errorf("%w: its version is %q; version %d or later is needed", ErrUnsafe, info["redis_version"], leastMajor)
	}
	limit, policy := info["maxmemory"], info["maxmemory_policy"]
	if limit != "0" && policy != "noeviction" {
		return fmt.Errorf("%w: with maxmemory %q its maxmemory-policy is %q, which forgets deliveries early when memory is "+
			"short; set maxmemory-policy noeviction, or use a separate server for deduplication", ErrUnsafe, limit, policy)
	}
	return nil
}

// parseInfo parses the lines "name:value" of INFO.
func parseInfo(text string) map[string]string {
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if ok {
			info[name] = value
		}
	}
	return info
}

// checkScripts claims and completes a delivery with a random key and a short
// TTL.
func (s *Store) checkScripts(ctx context.Context) error {
	probe := &Store{client: s.client, prefix: s.prefix, ttl: time.Second}
	c, err := probe.Claim(ctx, dedupe.NewKey("redisdedupe", "ready", rand.Text()), time.Second)
	if err != nil {
		return err
	}
	return probe.Complete(ctx, c)
}
