package dedupe

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// DefaultCapacity is the default number of keys of a [Memory]. It is enough for
// six deliveries a second during [DefaultTTL]. A full store of this size takes
// about 80 MB.
const DefaultCapacity = 1 << 20

// A MemoryOption changes a default of [NewMemory].
type MemoryOption interface {
	applyToMemory(*memoryConfig)
}

type memoryConfig struct {
	ttl      time.Duration
	capacity int
}

type memoryOption func(*memoryConfig)

func (o memoryOption) applyToMemory(c *memoryConfig) { o(c) }

// WithTTL sets how long a completed delivery is remembered. Default: 48 hours
// ([DefaultTTL]). A TTL below [MinTTL] is an error, and so is zero. The TTL
// should exceed the time to the sender's last retry. It must be at least twice
// the receiver's tolerance, which the receiver checks.
func WithTTL(ttl time.Duration) MemoryOption {
	return memoryOption(func(c *memoryConfig) { c.ttl = ttl })
}

// WithCapacity sets the maximum number of claimed and completed keys together.
// Default: 1,048,576 ([DefaultCapacity]). Zero, negative numbers and those
// above 2,147,483,647 are errors. The limit is exact. It must be at least the
// number of deliveries that arrive during a TTL. Memory is allocated only when
// needed. A full store of 100,000 keys or more takes less than 80 bytes a key.
func WithCapacity(keys int) MemoryOption {
	return memoryOption(func(c *memoryConfig) { c.capacity = keys })
}

func newMemoryConfig(opts []MemoryOption) (memoryConfig, error) {
	c := memoryConfig{ttl: DefaultTTL, capacity: DefaultCapacity}
	for _, o := range opts {
		if o == nil {
			return c, errors.New("dedupe: NewMemory: an option is nil; leave it out instead")
		}
		o.applyToMemory(&c)
	}
	return c, errors.Join(c.checkTTL(), c.checkCapacity())
}

func (c memoryConfig) checkTTL() error {
	if c.ttl >= MinTTL {
		return nil
	}
	return fmt.Errorf("dedupe: WithTTL(%v): must be at least %v; use a number with a unit, such as 48*time.Hour, "+
		"or leave it out for the default of %v", c.ttl, MinTTL, DefaultTTL)
}

func (c memoryConfig) checkCapacity() error {
	if c.capacity > 0 && c.capacity <= math.MaxInt32 {
		return nil
	}
	return fmt.Errorf("dedupe: WithCapacity(%d): must be between 1 and %d; use the number of deliveries that arrive "+
		"during a TTL, or leave it out for the default of %d", c.capacity, math.MaxInt32, DefaultCapacity)
}
