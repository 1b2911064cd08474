package console

import (
	"context"
	"sync"
	"time"

	"github.com/deployhook/deployhook/sender/outbox"
)

const (
	stripHours = 24
	// freshHours are counted for every view of the overview, and the hours before
	// once in each settledFor. Only late retries change them.
	freshHours = 2
	settledFor = time.Minute
)

// lastDay is the time that plots show, by the hour.
func lastDay(now time.Time, most int) outbox.HistorySpan {
	return outbox.HistorySpan{From: now.Truncate(time.Hour).Add(-(stripHours - 1) * time.Hour), Step: time.Hour, Slots: stripHours, Most: most}
}

// settled are the counts of the hours that hardly change. A busy platform has
// 10,000 deliveries and more in each.
type settled struct {
	mu    sync.Mutex
	at    time.Time
	slots []outbox.Slot
}

// get returns the counts of the hours from a time on, if they are recent.
func (s *settled) get(from, now time.Time) ([]outbox.Slot, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.slots) == 0 || !s.slots[0].From.Equal(from) || now.Sub(s.at) > settledFor {
		return nil, false
	}
	return s.slots, true
}

func (s *settled) put(slots []outbox.Slot, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots, s.at = slots, now
}

// dayOfAll counts the deliveries of all apps by the hour.
func (h *Handler) dayOfAll(ctx context.Context, now time.Time) ([]outbox.Slot, error) {
	span := lastDay(now, outbox.MaxCount)
	const old = stripHours - freshHours
	if slots, ok := h.settled.get(span.From, now); ok {
		span.From, span.Slots = span.From.Add(old*span.Step), freshHours
		fresh, err := h.outbox.History(ctx, span)
		return append(slots[:old:old], fresh...), err
	}
	all, err := h.outbox.History(ctx, span)
	if err == nil {
		h.settled.put(all[:old:old], now)
	}
	return all, err
}
