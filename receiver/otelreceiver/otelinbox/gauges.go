package otelinbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/deployhook/deployhook/internal/otelsettings"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// readTimeout bounds what the collection of metrics waits for the database.
const readTimeout = 5 * time.Second

// gauges are read from the database when metrics are collected.
type gauges struct {
	registration         metric.Registration
	pending, limit, dead metric.Int64ObservableGauge
	up                   metric.Int64ObservableGauge
	age                  metric.Float64ObservableGauge
}

func newGauges(s *otelsettings.Settings, m metric.Meter, backlog func(context.Context) (inbox.Backlog, error)) (*gauges, error) {
	g := &gauges{}
	var errs [6]error
	g.pending, errs[0] = m.Int64ObservableGauge("deployhook.inbox.pending", metric.WithUnit("{delivery}"),
		metric.WithDescription("Deliveries that wait for their first or next attempt."))
	g.limit, errs[1] = m.Int64ObservableGauge("deployhook.inbox.limit", metric.WithUnit("{delivery}"),
		metric.WithDescription("Pending deliveries at which senders get 503."))
	g.dead, errs[2] = m.Int64ObservableGauge("deployhook.inbox.dead", metric.WithUnit("{delivery}"),
		metric.WithDescription("Dead letters."))
	g.up, errs[3] = m.Int64ObservableGauge("deployhook.inbox.up",
		metric.WithDescription("1 if the database of the inbox answers, otherwise 0."))
	g.age, errs[4] = m.Float64ObservableGauge("deployhook.inbox.oldest_pending.age", metric.WithUnit("s"),
		metric.WithDescription("Time since the oldest pending delivery was received, 0 if none is pending."))
	all := metric.WithAttributeSet(s.With())
	g.registration, errs[5] = m.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		b, err := backlog(ctx)
		if errors.Is(err, inbox.ErrClosed) {
			return nil
		}
		if err != nil {
			o.ObserveInt64(g.up, 0, all)
			return fmt.Errorf("otelinbox: %w", err)
		}
		o.ObserveInt64(g.up, 1, all)
		o.ObserveInt64(g.pending, int64(b.Pending), all)
		o.ObserveInt64(g.limit, int64(b.Limit), all)
		o.ObserveInt64(g.dead, int64(b.Dead), all)
		var age time.Duration
		if !b.OldestPending.IsZero() {
			age = max(time.Since(b.OldestPending), 0)
		}
		o.ObserveFloat64(g.age, age.Seconds(), all)
		return nil
	}, g.up, g.pending, g.limit, g.dead, g.age)
	return g, errors.Join(errs[:]...)
}

// Close ends the reading of the database. The inbox calls it once.
func (g *gauges) Close() error { return g.registration.Unregister() }
