package dedupetest

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// bug is one way in which a simple store breaks the contract. The zero bug
// breaks nothing.
type bug string

// simple is the simplest store that implements the contract, apart from an
// optional bug. It is also a second implementation for which the suite must
// report no failure.
type simple struct {
	bug bug
	ttl time.Duration
	cap int

	mu      sync.Mutex
	token   dedupe.Token
	records map[dedupe.Key]*record
	order   []dedupe.Key
}

type record struct {
	token     dedupe.Token
	completed bool
	deadline  time.Time
}

func newSimple(b bug, ttl time.Duration, capacity int) *simple {
	return &simple{bug: b, ttl: ttl, cap: capacity, records: make(map[dedupe.Key]*record)}
}

func (s *simple) TTL() time.Duration {
	if s.bug == "TTL is not the configured one" {
		return s.ttl / 2
	}
	return s.ttl
}

func (s *simple) Claim(ctx context.Context, key dedupe.Key, lease time.Duration) (dedupe.Claim, error) {
	if err := s.checkClaim(ctx, key, lease); err != nil {
		if s.bug == "claimed with an error" {
			return dedupe.Claim{Key: key, State: dedupe.Claimed, Token: 1}, err
		}
		return dedupe.Claim{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := key
	key = s.stored(key)
	r := s.live(key)
	if s.bug == "claim is not atomic" {
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
	if r != nil {
		return s.taken(asked, r, lease), nil
	}
	if !s.makeRoom() {
		return dedupe.Claim{}, dedupe.ErrFull
	}
	token := s.grant(key, lease)
	switch s.bug {
	case "answers without the key":
		asked = dedupe.Key{}
	case "answers without the state":
		return dedupe.Claim{Key: asked, Token: token}, nil
	}
	return dedupe.Claim{Key: asked, State: dedupe.Claimed, Token: token}, nil
}

func (s *simple) checkClaim(ctx context.Context, key dedupe.Key, lease time.Duration) error {
	switch {
	case key == dedupe.Key{} && s.bug != "zero key is taken":
		return dedupe.ErrInvalid
	case lease <= 0 && s.bug != "lease is not checked":
		return dedupe.ErrInvalid
	case s.bug == "context is ignored" || s.bug == "Claim ignores the context":
		return nil
	}
	return ctx.Err()
}

// taken returns the result of claiming a key that is not free.
func (s *simple) taken(key dedupe.Key, r *record, lease time.Duration) dedupe.Claim {
	if r.completed {
		if s.bug == "duplicates prolong the TTL" {
			r.deadline = time.Now().Add(s.ttl)
		}
		if s.bug == "duplicates have a RetryAfter" {
			return dedupe.Claim{Key: key, State: dedupe.Completed, RetryAfter: 1}
		}
		return dedupe.Claim{Key: key, State: dedupe.Completed}
	}
	c := dedupe.Claim{Key: key, State: dedupe.InFlight, RetryAfter: time.Until(r.deadline)}
	switch s.bug {
	case "in flight is answered as completed":
		return dedupe.Claim{Key: key, State: dedupe.Completed}
	case "RetryAfter is zero":
		c.RetryAfter = 0
	case "RetryAfter is a constant":
		c.RetryAfter = time.Minute
	case "RetryAfter is too long":
		c.RetryAfter = 3 * time.Hour
	case "token for every caller":
		c.Token = r.token
	case "claims of others prolong a lease":
		r.deadline = time.Now().Add(lease)
	}
	return c
}

// grant creates the record of a claim.
func (s *simple) grant(key dedupe.Key, lease time.Duration) dedupe.Token {
	switch s.bug {
	case "token is a constant":
		s.token = 1
	case "token falls":
		if s.token == 0 {
			s.token = 1 << 40
		}
		s.token--
	case "token starts again":
		s.token = 1
		if r := s.records[key]; r != nil {
			s.token = r.token + 1
		}
	case "token is zero":
		s.token = 0
	default:
		s.token++
	}
	switch s.bug {
	case "leases are cut short":
		lease /= 2
	case "leases never end":
		lease = 1 << 62
	case "all leases have the same length":
		lease = time.Minute
	}
	r := &record{token: s.token, deadline: time.Now().Add(lease)}
	if s.bug == "remembers at claim" {
		r.completed, r.deadline = true, time.Now().Add(s.ttl)
	}
	if s.bug == "TTL counts from the claim" {
		r.deadline = time.Now().Add(min(lease, s.ttl))
	}
	s.records[key] = r
	s.order = append(s.order, key)
	return s.token
}

func (s *simple) Renew(ctx context.Context, c dedupe.Claim, lease time.Duration) error {
	if err := s.check(ctx, c, "Renew"); err != nil {
		return err
	}
	c.Key = s.stored(c.Key)
	if lease <= 0 && s.bug != "renewal is not checked" {
		return dedupe.ErrInvalid
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.live(c.Key)
	if s.bug == "renewal revives" && r == nil {
		r = s.records[c.Key]
	}
	if s.bug == "renewal undoes completion" && r != nil && r.completed {
		r.completed = false
	}
	switch {
	case s.bug == "renewal does nothing":
		return nil
	case s.bug == "renewal fails":
		return dedupe.ErrLeaseLost
	case r == nil || r.completed || r.token != c.Token && s.bug != "ownerless renewal":
		return dedupe.ErrLeaseLost
	}
	switch s.bug {
	case "renewal only prolongs":
		r.deadline = later(r.deadline, time.Now().Add(lease))
	case "renewal adds":
		r.deadline = r.deadline.Add(lease)
	case "renewal changes the token":
		s.token++
		r.token = s.token
		fallthrough
	default:
		r.deadline = time.Now().Add(lease)
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *simple) Complete(ctx context.Context, c dedupe.Claim) error {
	if err := s.check(ctx, c, "Complete"); err != nil {
		return err
	}
	c.Key = s.stored(c.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.live(c.Key)
	switch {
	case r == nil && s.bug == "late completion fails":
		return dedupe.ErrLeaseLost
	case r == nil && s.bug == "late completion is dropped":
		return nil
	case r == nil && s.bug == "late completion needs the latest token" && c.Token != s.token:
		return dedupe.ErrLeaseLost
	case r == nil:
		r = &record{token: c.Token}
		s.records[c.Key] = r
	case s.bug == "ownerless completion":
	case s.bug == "fenced completion reports nothing" && r.token != c.Token:
		return nil
	case s.bug == "completion fails the second time" && r.completed:
		return dedupe.ErrLeaseLost
	case r.token != c.Token:
		return dedupe.ErrLeaseLost
	case r.completed && s.bug != "repeated completion prolongs":
		return nil
	}
	s.markCompleted(c.Key, r)
	return nil
}

func (s *simple) markCompleted(key dedupe.Key, r *record) {
	r.completed = true
	switch s.bug {
	case "TTL counts from the claim":
		r.deadline = r.deadline.Add(s.ttl - time.Minute)
	case "forgets early":
		r.deadline = time.Now().Add(s.ttl - time.Minute)
	case "forgets at the end of the lease":
	case "never forgets":
		r.deadline = time.Now().Add(1 << 62)
	case "completion frees the key":
		delete(s.records, key)
	default:
		r.deadline = time.Now().Add(s.ttl)
	}
}

func (s *simple) Release(ctx context.Context, c dedupe.Claim) error {
	if err := s.check(ctx, c, "Release"); err != nil {
		return err
	}
	c.Key = s.stored(c.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.live(c.Key)
	switch {
	case s.bug == "release does nothing":
		return nil
	case r == nil && s.bug == "release fails the second time":
		return dedupe.ErrLeaseLost
	case r == nil:
		return nil
	case s.bug == "ownerless release":
	case s.bug == "release undoes completion" && r.completed:
	case s.bug == "fenced release reports nothing":
		if r.token != c.Token || r.completed {
			return nil
		}
	case r.token != c.Token || r.completed:
		return dedupe.ErrLeaseLost
	}
	if s.bug == "release frees everything" {
		clear(s.records)
	}
	delete(s.records, c.Key)
	return nil
}

// check finds arguments that the methods for holders must refuse.
func (s *simple) check(ctx context.Context, c dedupe.Claim, method string) error {
	invalid := c.State != dedupe.Claimed || c.Token <= 0 || c.Key == dedupe.Key{}
	switch {
	case invalid && s.bug != bug(method+" takes any claim"):
		return dedupe.ErrInvalid
	case s.bug == "context is ignored", s.bug == bug(method+" ignores the context"):
		return nil
	}
	return ctx.Err()
}

// live returns the record that keeps a key from being free.
func (s *simple) live(key dedupe.Key) *record {
	if r := s.records[key]; r != nil && time.Now().Before(r.deadline) {
		return r
	}
	return nil
}

// stored returns the key under which a delivery is stored.
func (s *simple) stored(key dedupe.Key) dedupe.Key {
	switch s.bug {
	case "key is cut short":
		clear(key[16:])
	case "key is cut short at the front":
		key[0] = 0
	case "all keys are one":
		clear(key[:])
	}
	return key
}

// makeRoom reports whether there is room for one more key.
func (s *simple) makeRoom() bool {
	switch s.bug {
	case "is not bounded":
		return true
	case "evicts the oldest":
		return s.evict(func(*record) bool { return true }, min(s.cap, 50))
	case "evicts when full":
		return s.evict(func(*record) bool { return true }, s.cap)
	case "evicts completed keys when full":
		return s.evict(func(r *record) bool { return r.completed }, s.cap)
	case "refuses early":
		return len(s.records) < s.cap/2
	case "stays full":
		return len(s.records) < s.cap
	case "leases that ended stay":
		return s.evict(func(r *record) bool { return r.completed && !time.Now().Before(r.deadline) }, s.cap)
	}
	return s.evict(func(r *record) bool { return !time.Now().Before(r.deadline) }, s.cap)
}

func (s *simple) evict(may func(*record) bool, limit int) bool {
	if len(s.records) < limit {
		return true
	}
	for i, k := range s.order {
		r := s.records[k]
		if r == nil {
			continue
		}
		if may(r) {
			delete(s.records, k)
			s.order = s.order[i:]
			return true
		}
	}
	return false
}
