package admission

import (
	"context"
	"slices"
	"time"
)

const (
	// MaxSearches is the number of endpoints that one call of find searches.
	MaxSearches = 64
	// searchRound is the number of endpoints that are looked at while the Limiter
	// is locked.
	searchRound = 256
	// minAsleep is how long a job must usually be snoozed before a search finds it.
	// The queue records a snooze a little later.
	minAsleep = 400 * time.Millisecond
	// arriveWithin is how long a woken job takes to arrive. After that it has
	// arrived in another process, or the estimate was wrong.
	arriveWithin = time.Second
	// passInterval is the shortest time between two passes.
	passInterval = 200 * time.Millisecond
	// searchAgain is how long an endpoint counts as searched. Another process may
	// have crashed since, and left snoozed jobs.
	searchAgain = time.Minute
)

// Search asks for snoozed jobs of an endpoint, the oldest first.
type Search struct {
	Endpoint string
	// After is where the previous search ended. It is empty for the first.
	After string
	// Most is the number of jobs that may be woken up.
	Most int

	pass int
}

// Found is what a search did.
type Found struct {
	// Woken is the number of jobs that were woken up.
	Woken int
	// Next is After of the next search. It is empty if no job is left.
	Next string
}

// sleepers is what a process knows of the snoozed jobs of an endpoint. The jobs
// themselves are in the database, since another process may have snoozed them.
// A pass searches all of them once.
type sleepers struct {
	nextAt  time.Time // end of the next snooze
	snoozed time.Time // last time

	listed   bool      // there may be some
	inAsleep bool      // in Limiter.asleep, from which it is removed later
	inReady  bool      // in Limiter.ready
	pass     int       // counts passes
	began    time.Time // when the pass began; zero if none has
	after    string    // where the pass goes on
	found    bool      // the pass has found some
	notUntil time.Time // when the next pass may begin
	searched time.Time // when the last pass ended

	scout  bool // wake up one job in any case, to learn what has changed
	coming int  // jobs that were woken up and have not arrived
	woken  time.Time
}

// arrived counts a job of the endpoint that asks for admission.
func (s *sleepers) arrived() { s.coming, s.scout = max(s.coming-1, 0), false }

// reset forgets when the endpoint was searched. The end of an open breaker lets
// all snoozed jobs return earlier.
func (s *sleepers) reset() { s.nextAt, s.searched = time.Time{}, time.Time{} }

// restart begins a new pass with the next search.
func (s *sleepers) restart() {
	s.pass++
	s.began, s.after, s.found, s.notUntil = time.Time{}, "", false, time.Time{}
}

// wants reports whether a search for n jobs is useful now.
func (s *sleepers) wants(n int, now time.Time) bool {
	if now.Sub(s.woken) > arriveWithin {
		s.coming = 0
	}
	return s.listed && !now.Before(s.notUntil) && 2*s.coming < n
}

// search returns the next search of the endpoint for n jobs.
func (e *endpoint) search(n int, now time.Time) Search {
	s := &e.sleepers
	if s.began.IsZero() {
		s.began = now
	}
	n -= s.coming
	s.coming, s.woken = s.coming+n, now
	return Search{Endpoint: e.id, After: s.after, Most: n, pass: s.pass}
}

// searched takes the result of a search. The endpoint is no longer listed after
// a pass that has found nothing, although everything was snoozed long before it
// began. A pass that finds something may have missed snoozes that the queue had
// not recorded yet, since a busy database can take longer than minAsleep.
func (e *endpoint) searched(search Search, f Found, now time.Time) {
	s := &e.sleepers
	s.coming = max(s.coming-(search.Most-f.Woken), 0)
	if search.pass != s.pass {
		return
	}
	s.after, s.found = f.Next, s.found || f.Woken > 0
	if f.Next != "" {
		return
	}
	found := s.found
	complete := !found && s.began.Sub(s.snoozed) >= minAsleep
	s.restart()
	s.searched, s.notUntil = now, now.Add(passInterval)
	switch {
	case complete:
		s.listed, s.nextAt = false, time.Time{}
	case !found:
		s.notUntil = later(s.notUntil, s.snoozed.Add(minAsleep))
	}
}

// list adds an endpoint to those that may have snoozed jobs.
func (l *Limiter) list(e *endpoint) {
	e.sleepers.listed = true
	if !e.sleepers.inAsleep {
		e.sleepers.inAsleep = true
		l.asleep = append(l.asleep, e)
	}
}

// Rouse has [Limiter.Run] search all snoozed jobs of an endpoint, because
// something has changed that they wait for. The first job that is woken up
// brings the change.
func (l *Limiter) Rouse(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.endpoints[id]
	if e == nil {
		e = newEndpoint(id)
		e.limit, e.used = startWindow, l.Clock()
		l.endpoints[id] = e
	}
	e.sleepers.restart()
	e.sleepers.scout = true
	l.list(e)
	l.hurry(e)
}

// hurry has Run search an endpoint before the next poll.
func (l *Limiter) hurry(e *endpoint) {
	if e.sleepers.inReady {
		return
	}
	e.sleepers.inReady = true
	l.ready = append(l.ready, e)
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// Run wakes up snoozed jobs of endpoints that can take more, until ctx ends.
// The function find does one or more searches. If it fails, it returns nil and
// is called again later.
func (l *Limiter) Run(ctx context.Context, find func(ctx context.Context, all []Search) []Found) {
	tick := time.NewTicker(l.PollInterval)
	defer tick.Stop()
	search := func(all []Search) {
		if len(all) > 0 && ctx.Err() == nil {
			l.record(all, find(ctx, all))
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.signal:
			for more := true; more; {
				var all []Search
				all, more = l.searchReady()
				search(all)
			}
		case <-tick.C:
			for rest := l.listedCount(); rest > 0; {
				all, n := l.searchListed(rest)
				rest -= n
				search(all)
			}
		}
	}
}

func (l *Limiter) listedCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.asleep)
}

// searchReady returns searches for the endpoints that hurry, and whether there
// are more.
func (l *Limiter) searchReady() (all []Search, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.Clock()
	n := min(len(l.ready), MaxSearches)
	for _, e := range l.ready[:n] {
		e.sleepers.inReady = false
		if s, ok := l.search(e, now); ok {
			all = append(all, s)
		}
	}
	l.ready = slices.Delete(l.ready, 0, n)
	return all, len(l.ready) > 0
}

// searchListed returns searches for the first of the endpoints that may have
// snoozed jobs, and how many endpoints it looked at. Those go to the end of the
// list.
func (l *Limiter) searchListed(most int) (all []Search, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.Clock()
	for n < min(most, searchRound) && len(all) < MaxSearches {
		e := l.asleep[n]
		n++
		if e.sleepers.inAsleep = e.sleepers.listed; !e.sleepers.listed {
			continue
		}
		l.asleep = append(l.asleep, e)
		if s, ok := l.search(e, now); ok {
			all = append(all, s)
		}
	}
	l.asleep = l.asleep[n:]
	return all, n
}

// search returns a search if the endpoint can take more jobs.
func (l *Limiter) search(e *endpoint, now time.Time) (Search, bool) {
	n := l.canTake(e, now)
	if !e.sleepers.wants(n, now) {
		return Search{}, false
	}
	return e.search(n, now), true
}

// canTake returns how many snoozed jobs an endpoint can take.
func (l *Limiter) canTake(e *endpoint, now time.Time) (n int) {
	switch {
	case e.sleepers.scout:
		return 1
	case e.breaker.blocks(now) || len(e.waiters) > 0:
		return 0
	case e.breaker.openings > 0: // half-open: one probe is enough
		if l.canProbe(e, now) {
			n = 1
		}
	case l.hasRoom(e, now):
		n = min(e.wakeCount(l.PollInterval), e.breaker.allowance(now))
	}
	return e.pace.canTake(n, now, 2*l.PollInterval)
}

// record takes the results of searches. An error means no results.
func (l *Limiter) record(all []Search, found []Found) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.Clock()
	for i, s := range all {
		e := l.endpoints[s.Endpoint]
		switch {
		case e == nil: // forgotten
		case i < len(found):
			e.searched(s, found[i], now)
		default:
			e.sleepers.coming = max(e.sleepers.coming-s.Most, 0)
		}
	}
}
