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

// DefaultPrefix begins the name of every key in Redis, unless [WithPrefix] sets
// another.
const DefaultPrefix = "deployhook:dedupe:"

// ErrConfig is wrapped by every error of [New]. The text names the invalid
// option and the solution.
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

// WithTTL sets how long a completed delivery is remembered. Default: 48 hours
// ([dedupe.DefaultTTL]). A TTL below [dedupe.MinTTL] is an error, and so is
// zero. Fractions of a millisecond are rounded up. The TTL should exceed the
// time to the sender's last retry. It must be at least twice the receiver's
// tolerance, which the receiver checks. All stores that share a prefix should
// have the same TTL.
func WithTTL(ttl time.Duration) Option {
	return option(func(c *config) { c.ttl = ttl })
}

// WithPrefix sets the beginning of every key's name in Redis. Use it to
// separate environments, such as staging and production, on one server.
// Default: [DefaultPrefix]. The empty string is an error. The prefix may have
// up to 100 letters, digits and characters of ":._-/". Stores need the same
// prefix to share what they remember.
func WithPrefix(prefix string) Option {
	return option(func(c *config) { c.prefix = prefix })
}

// InsecureRing allows a [redis.Ring] as the client. Default: off, and New
// refuses one. A Ring looks for the keys of a shard on other shards while the
// shard is down, and whenever the list of shards changes. The other shards do
// not know these keys. Completed deliveries are then handled again, replays
// within the tolerance are accepted, and two workers may hold one delivery.
// Redis Cluster refuses such calls instead. Use InsecureRing only for handlers
// that may run twice.
func InsecureRing() Option {
	return option(func(c *config) { c.ring = true })
}

func newConfig(client redis.UniversalClient, opts []Option) (config, error) {
	c := config{ttl: dedupe.DefaultTTL, prefix: DefaultPrefix}
	for _, o := range opts {
		if o == nil {
			return c, fmt.Errorf("%w: an option is nil; leave it out instead", ErrConfig)
		}
		o.apply(&c)
	}
	return c, errors.Join(c.checkTTL(), c.checkPrefix(), c.checkClient(client))
}

func (c config) checkTTL() error {
	if c.ttl >= dedupe.MinTTL {
		return nil
	}
	return fmt.Errorf("%w: WithTTL(%v): must be at least %v; use a number with a unit, such as 48*time.Hour, "+
		"or leave it out for the default of %v", ErrConfig, c.ttl, dedupe.MinTTL, dedupe.DefaultTTL)
}

func (c config) checkPrefix() error {
	const maxPrefix = 100
	if c.prefix == "" {
		return fmt.Errorf("%w: WithPrefix: the prefix is empty; leave the option out for the default %q", ErrConfig, DefaultPrefix)
	}
	if len(c.prefix) > maxPrefix {
		return fmt.Errorf("%w: WithPrefix: %d bytes; up to %d are allowed", ErrConfig, len(c.prefix), maxPrefix)
	}
	// Braces would be a hash tag, which stores all keys on one node of a
	// Cluster. Other characters have a meaning in the patterns of SCAN and of
	// access control lists.
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
		return fmt.Errorf("%w: the client is a Ring, which looks for the keys of a failed shard on another one, which does "+
			"not know them; use a redis.ClusterClient, or InsecureRing if handling deliveries again does no harm", ErrConfig)
	}
	if !honoursContext(client) {
		return fmt.Errorf("%w: the client ignores the deadline of a context; set ContextTimeoutEnabled "+
			"to true in its options, also in options that redis.ParseURL returned", ErrConfig)
	}
	return nil
}

// honoursContext reports whether a client stops waiting at a context's
// deadline. go-redis does so only with ContextTimeoutEnabled. Clients of other
// types are trusted.
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
