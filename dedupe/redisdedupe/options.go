package redisdedupe

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/deployhook/deployhook/dedupe"
)

// DefaultPrefix begins the name of every key in Redis unless [WithPrefix] says otherwise.
const DefaultPrefix = "deployhook:dedupe:"

// ErrConfig is wrapped by every error of [New]. The text names the option at fault, and the way out.
var ErrConfig = errors.New("redisdedupe: invalid configuration")

// An Option changes a default of [New].
type Option interface {
	apply(*config)
}

type config struct {
	ttl    time.Duration
	prefix string
	ring   bool
}

type option func(*config)

func (o option) apply(c *config) { o(c) }

// WithTTL sets how long a completed delivery is remembered. The default, which zero also stands for, is
// [dedupe.DefaultTTL], 48 hours. Less than [dedupe.MinTTL] is an error. Parts of a millisecond count as a whole one. It should
// outlast the sender's last retry, and must be at least twice the tolerance of the receiver, which checks it. All stores
// that share a prefix should have the same.
func WithTTL(ttl time.Duration) Option {
	return option(func(c *config) { c.ttl = ttl })
}

// WithPrefix sets what the name of every key in Redis begins with, to keep apart what must not meet: the staging
// environment from production, when both use one server. The default, which the empty string also stands for, is
// [DefaultPrefix]. It may have up to 100 letters, digits and characters of ":._-/". Stores that are to share what they
// remember must have the same prefix.
func WithPrefix(prefix string) Option {
	return option(func(c *config) { c.prefix = prefix })
}

// InsecureRing allows a [redis.Ring] as the client; without it New refuses one. While a shard of a Ring is down, and whenever its
// list of shards changes, the Ring looks for the shard's keys on other shards. They have never seen them: what was completed is
// handled again, replays that are still within the tolerance are accepted, and two workers may hold one delivery. Redis Cluster
// refuses such calls instead. It is for handlers that bear being called twice.
func InsecureRing() Option {
	return option(func(c *config) { c.ring = true })
}

func newConfig(client redis.UniversalClient, opts []Option) (config, error) {
	var c config
	for _, o := range opts {
		if o == nil {
			return c, fmt.Errorf("%w: an option is nil; leave it out instead", ErrConfig)
		}
		o.apply(&c)
	}
	if c.ttl == 0 {
		c.ttl = dedupe.DefaultTTL
	}
	if c.prefix == "" {
		c.prefix = DefaultPrefix
	}
	return c, errors.Join(c.checkTTL(), c.checkPrefix(), c.checkClient(client))
}

func (c config) checkTTL() error {
	if c.ttl >= dedupe.MinTTL {
		return nil
	}
	return fmt.Errorf("%w: WithTTL(%v): must be at least %v; give a number with its unit, such as 48*time.Hour, "+
		"or 0 for the default of %v", ErrConfig, c.ttl, dedupe.MinTTL, dedupe.DefaultTTL)
}

func (c config) checkPrefix() error {
	const maxPrefix = 100
	if len(c.prefix) > maxPrefix {
		return fmt.Errorf("%w: WithPrefix: %d bytes; up to %d are allowed", ErrConfig, len(c.prefix), maxPrefix)
	}
	// Braces would be a hash tag, which puts all keys on one node of a cluster; others have a meaning in the
	// patterns of SCAN and of access control lists.
	if i := strings.IndexFunc(c.prefix, func(r rune) bool { return !allowedInPrefix(r) }); i >= 0 {
		return fmt.Errorf("%w: WithPrefix(%q): the character at offset %d is not allowed; use letters, digits and :._-/",
			ErrConfig, c.prefix, i)
	}
	return nil
}

func allowedInPrefix(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(":._-/", r)
}

func (c config) checkClient(client redis.UniversalClient) error {
	if v := reflect.ValueOf(client); client == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return fmt.Errorf("%w: the client is nil; make one with redis.NewClient, redis.NewClusterClient or "+
			"redis.NewFailoverClient", ErrConfig)
	}
	if _, ok := client.(*redis.Ring); ok && !c.ring {
		return fmt.Errorf("%w: the client is a Ring, which looks for the keys of a shard that is down on another one, where they "+
			"have never been seen; use a redis.ClusterClient, or InsecureRing if handling deliveries again does no harm", ErrConfig)
	}
	if !honoursContext(client) {
		return fmt.Errorf("%w: the client goes on waiting when a context's deadline has passed; set ContextTimeoutEnabled "+
			"in its options to true, also in those that redis.ParseURL returns", ErrConfig)
	}
	return nil
}

// honoursContext reports whether a client ends its waits at a context's deadline, which go-redis does only when it is told to.
// Clients of other types are trusted.
func honoursContext(client redis.UniversalClient) bool {
	switch c := client.(type) {
	case *redis.Client:
		return c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return c.Options().ContextTimeoutEnabled
	case *redis.Ring:
		return c.Options().ContextTimeoutEnabled
	}
	return true
}
