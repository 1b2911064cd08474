// Package waits asks a schedule of the application for waits between attempts.
package waits

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/nilable"
)

// Limit is how long a schedule of the application may take to answer.
const Limit = 5 * time.Second

// BackOff asks a schedule of the application for waits. After a fault, or an
// answer that takes longer than the limit, it goes on with another schedule at
// the same place. It is for one goroutine.
type BackOff struct {
	faults   *contain.Faults
	ctx      context.Context
	name     string
	limit    time.Duration
	fallback func() backoff.BackOff

	from  backoff.BackOff
	asked int
}

// New returns the waits of the application's schedule. Waiting for it ends
// with ctx.
func New(ctx context.Context, f *contain.Faults, name string, limit time.Duration, own, fallback func() backoff.BackOff) *BackOff {
	b := &BackOff{faults: f, ctx: ctx, name: name, limit: limit, fallback: fallback}
	opened := make(chan backoff.BackOff, 1) // a late answer is not read
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

// From is the schedule that the next wait comes from.
func (b *BackOff) From() backoff.BackOff { return b.from }

// Reset does nothing: a BackOff is for one delivery.
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
