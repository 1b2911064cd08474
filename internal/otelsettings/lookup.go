package otelsettings

import (
	"sync"
	"sync/atomic"
)

// ByType holds a value for each event type that metrics tell apart, and one for
// all other types. Make it with [NewByType].
type ByType[T any] struct {
	declared map[string]T
	other    T
}

// NewByType calls of for each label of an event type.
func NewByType[T any](s *Settings, of func(label string) T) ByType[T] {
	b := ByType[T]{declared: make(map[string]T, len(s.types)), other: of(Other)}
	for t := range s.types {
		b.declared[t] = of(t)
	}
	return b
}

// Of returns the value for an event type.
func (b ByType[T]) Of(t string) T {
	if v, ok := b.declared[t]; ok {
		return v
	}
	return b.other
}

// Names returns the names of an operation's spans by event type, as in "publish
// deploy.live". They are made once, because the name of a span is needed even
// if the span is not sampled.
func (s *Settings) Names(operation string) ByType[string] {
	return NewByType(s, func(label string) string { return operation + " " + label })
}

// Few is a map with few keys that are never removed. A read takes no lock and
// hashes nothing. It compares the keys in the order in which they were added,
// and the common ones come early. The zero value is empty. All methods are safe
// for concurrent use.
type Few[K comparable, V any] struct {
	entries atomic.Pointer[[]entry[K, V]]
	adding  sync.Mutex
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// Get returns the value of a key. For a new key it calls add.
func (f *Few[K, V]) Get(key K, add func(K) V) V {
	if v, ok := f.find(key); ok {
		return v
	}
	f.adding.Lock()
	defer f.adding.Unlock()
	if v, ok := f.find(key); ok {
		return v
	}
	var all []entry[K, V]
	if entries := f.entries.Load(); entries != nil {
		all = append(all, *entries...)
	}
	v := add(key)
	all = append(all, entry[K, V]{key, v})
	f.entries.Store(&all)
	return v
}

func (f *Few[K, V]) find(key K) (v V, ok bool) {
	entries := f.entries.Load()
	if entries == nil {
		return v, false
	}
	for i := range *entries {
		if e := &(*entries)[i]; e.key == key {
			return e.value, true
		}
	}
	return v, false
}
