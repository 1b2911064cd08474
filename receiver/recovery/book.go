package recovery

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// entry is one attempt in a log.
type entry struct {
	id       int64
	key      string    // the same for all attempts of a delivery
	at       time.Time // zero if the log has no times
	accepted bool      // the receiver answered 2xx
	open     bool      // there is no result yet
	status   string
	event    string
	action   string
	unusable string // why it can't be sent again
}

// before orders attempts by time. Logs without times have ascending IDs.
func (e *entry) before(o *entry) bool {
	return cmp.Or(e.at.Compare(o.at), cmp.Compare(e.id, o.id)) < 0
}

// book groups the attempts of a log by their deliveries.
type book struct {
	read     map[int64]struct{}
	accepted map[string]struct{}
	missed   map[string]*delivery
	timed    bool // all entries have a time
}

// delivery is a delivery for which no accepted attempt was read so far.
type delivery struct {
	first, last entry
	attempts    int
}

func newBook() *book {
	return &book{read: map[int64]struct{}{}, accepted: map[string]struct{}{}, missed: map[string]*delivery{}, timed: true}
}

// add adds an attempt. It reports false for one that was read before, because
// pages change while they are read.
func (b *book) add(e entry, since time.Time) (added bool) {
	if _, known := b.read[e.id]; known {
		return false
	}
	b.read[e.id] = struct{}{}
	b.timed = b.timed && !e.at.IsZero()
	_, accepted := b.accepted[e.key]
	switch {
	case accepted:
	case e.accepted:
		b.accepted[e.key] = struct{}{}
		delete(b.missed, e.key)
	case tooOld(&e, since):
	default:
		b.failed(e)
	}
	return true
}

func (b *book) failed(e entry) {
	d := b.missed[e.key]
	if d == nil {
		d = &delivery{first: e, last: e}
		b.missed[e.key] = d
	}
	d.attempts++
	if e.before(&d.first) {
		d.first = e
	}
	if d.last.before(&e) {
		d.last = e
	}
}

func tooOld(e *entry, since time.Time) bool { return !e.at.IsZero() && e.at.Before(since) }

// oldestFirst returns the missed deliveries in the order of their first
// attempts.
func (b *book) oldestFirst() []*delivery {
	list := make([]*delivery, 0, len(b.missed))
	for _, d := range b.missed {
		list = append(list, d)
	}
	slices.SortFunc(list, func(x, y *delivery) int {
		return cmp.Or(x.first.at.Compare(y.first.at), cmp.Compare(x.first.id, y.first.id))
	})
	return list
}

// earlier is what this process knows about a delivery that it asked for.
type earlier struct {
	at      time.Time
	attempt int64  // the last attempt at that time
	refused string // why it can't be sent again
}

// judge says what to do about a delivery. Listed means to ask for it.
func (c *Client) judge(d *delivery, now time.Time) (Outcome, string) {
	known, asked := c.asked[d.first.key]
	due := d.last.at.Add(backoff(d.attempts))
	switch {
	case d.last.unusable != "":
		return Refused, d.last.unusable
	case known.refused != "":
		return Refused, known.refused
	case d.last.open && now.Before(d.last.at.Add(settle)):
		return Pending, "its last attempt has no result yet"
	case asked && known.attempt == d.last.id && now.Before(known.at.Add(settle)):
		return Pending, "it was asked for, and the attempt is not in the log yet"
	case d.attempts >= c.maxAttempts:
		return Refused, fmt.Sprintf("%d attempts failed", d.attempts)
	case now.Before(due):
		return Deferred, "it is tried again after " + due.UTC().Format(time.RFC3339)
	}
	return Listed, ""
}

// backoff is the time after a failed attempt until the next.
func backoff(attempts int) time.Duration {
	if attempts < 2 {
		return 0
	}
	if attempts > 10 {
		return maxBackoff
	}
	return min(firstBackoff<<(attempts-2), maxBackoff)
}

func (d *delivery) missed() Missed {
	return Missed{
		ID: d.last.id, GUID: d.last.key, Event: d.last.event, Action: d.last.action,
		First: d.first.at, Last: d.last.at, Attempts: d.attempts, Status: d.last.status,
	}
}
