package dedupe

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// DefaultCapacity is how many keys a [Memory] holds unless it is told otherwise: six deliveries a second, day and
// night, for [DefaultTTL]; about 80 MB when it is full.
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

// WithTTL sets how long a completed delivery is remembered. The default, which zero also stands for, is [DefaultTTL].
// Less than [MinTTL] is an error. It should outlast the sender's last retry, and must be at least twice the
// tolerance of the receiver, which checks it.
func WithTTL(ttl time.Duration) MemoryOption {
	return memoryOption(func(c *memoryConfig) { c.ttl = ttl })
}

// WithCapacity bounds the number of keys, claimed and completed together. The default, which zero also stands for, is
// [DefaultCapacity]; negative numbers and those above 2,147,483,647 are errors. The bound is exact: a store holds
// that many keys and not one more. It needs to be the number of deliveries that come in during a TTL.
// Memory is not taken before it is needed; a full store of a hundred thousand keys or more takes less than 80 bytes a key.
func WithCapacity(keys int) MemoryOption {
	return memoryOption(func(c *memoryConfig) { c.capacity = keys })
}

func newMemoryConfig(opts []MemoryOption) (memoryConfig, error) {
	var c memoryConfig
	for _, o := range opts {
		if o == nil {
			return c, errors.New("dedupe: NewMemory: an option is nil; leave it out instead")
		}
		o.applyToMemory(&c)
	}
	if c.ttl == 0 {
		c.ttl = DefaultTTL
	}
	if c.capacity == 0 {
		c.capacity = DefaultCapacity
	}
	return c, errors.Join(c.checkTTL(), c.checkCapacity())
}

func (c memoryConfig) checkTTL() error {
	if c.ttl >= MinTTL {
		return nil
	}
	return fmt.Errorf("dedupe: WithTTL(%v): must be at least %v; give a number with its unit, such as 48*time.Hour, "+
		"or 0 for the default of %v", c.ttl, MinTTL, DefaultTTL)
}

func (c memoryConfig) checkCapacity() error {
	if c.capacity > 0 && c.capacity <= math.MaxInt32 {
		return nil
	}
	return fmt.Errorf("dedupe: WithCapacity(%d): must be between 1 and %d; give the number of deliveries that come in "+
		"during a TTL, or 0 for the default of %d", c.capacity, math.MaxInt32, DefaultCapacity)
}
