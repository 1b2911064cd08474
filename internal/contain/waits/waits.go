// Package waits gets the waits between attempts from a schedule of the
// application.
package waits

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/nilable"
)

// Limit is the time that a schedule of the application has for one answer.
const Limit = 5 * time.Second

// BackOff gets waits from a schedule of the application. After a fault, or if
// an answer exceeds the limit, it continues with the fallback schedule at the
// same position. It is not safe for concurrent use.
type BackOff struct {
	faults   *contain.Faults
	ctx      context.Context
	name     string
	limit    time.Duration
	fallback func() backoff.BackOff

	from  backoff.BackOff
	asked int
}

// New returns a BackOff for the application's schedule. It stops waiting for
// the schedule when ctx ends.
func New(ctx context.Context, f *contain.Faults, name string, limit time.Duration, own, fallback func() backoff.BackOff) *BackOff {
	b := &BackOff{faults: f, ctx: ctx, name: name, limit: limit, fallback: fallback}
	// A late answer is not read.
	opened := make(chan backoff.BackOff, 1)
	if b.answers(func() { opened <- own() }) {
		b.from = <-opened
	}
	if nilable.IsNil(b.from) {
		b.from = fallback()
	}
	return b
}

func (b *BackOff) answers(ask func()) bool {
	ctx, cancel := context.WithTimeout(b.ctx, b.limit)
	defer cancel()
	return b.faults.CallUntil(ctx, b.name, ask) == nil
}

// From returns the schedule that supplies the next wait.
func (b *BackOff) From() backoff.BackOff { return b.from }

// Reset does nothing, because a BackOff is for one delivery.
func (b *BackOff) Reset() {}

// NextBackOff returns the next wait, or a negative one at the end of the
// schedule.
func (b *BackOff) NextBackOff() (wait time.Duration) {
	b.asked++
	answer := make(chan time.Duration, 1)
	from := b.from
	if b.answers(func() { answer <- from.NextBackOff() }) {
		return <-answer
	}
	b.from = b.fallback()
	for range b.asked {
		wait = b.from.NextBackOff()
	}
	return wait
}
