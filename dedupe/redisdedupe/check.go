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

// ErrUnsafe is wrapped by the errors of [Store.Check] about a server that answers, but would not keep what a store promises.
var ErrUnsafe = errors.New("redisdedupe: the server is not safe for remembering deliveries")

// leastMajor is the first major version that sends a script's effects to replicas and to its log instead of the
// script. Scripts before that must not write after they have looked at the clock.
const leastMajor = 5

// Check connects, and finds out whether Redis will keep what a store promises: that it is at least version 5, that it does
// not evict keys to make room (maxmemory-policy is noeviction where maxmemory is set; policies whose names begin with "volatile-"
// evict exactly the keys of a store), and that the user is allowed to run the scripts. In a Cluster it looks at every master.
// Call it when the service starts; a failed Check need not keep it from starting, for each call of a store that does not get its
// answer is an error.
//
// It runs INFO, and claims and completes a delivery that nobody sends, which is forgotten after two seconds. It does not look at
// persistence: see the package's documentation for what is lost without.
//
// Errors: [ErrUnsafe] with the way out, the context's error, failures of the connection.
func (s *Store) Check(ctx context.Context) error {
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
		return failure(ctx, "check", err)
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
			"short; set maxmemory-policy noeviction, or use a server of its own for deduplication", ErrUnsafe, limit, policy)
	}
	return nil
}

// parseInfo reads the lines of INFO, "name:value".
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

// checkScripts claims and completes a delivery under a random key, with a TTL that soon passes.
func (s *Store) checkScripts(ctx context.Context) error {
	probe := &Store{client: s.client, prefix: s.prefix, ttl: time.Second}
	c, err := probe.Claim(ctx, dedupe.NewKey("redisdedupe", "check", rand.Text()), time.Second)
	if err != nil {
		return err
	}
	return probe.Complete(ctx, c)
}
