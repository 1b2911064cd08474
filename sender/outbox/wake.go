package outbox

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

const (
	// rouseInterval is how long another process takes at most to notice that an
	// endpoint's deliveries can be sent earlier.
	rouseInterval = time.Second
	// rousePage is the number of such endpoints that are read at once.
	rousePage = 64
	// searchStep is the largest number of waiting deliveries that are read at
	// once, and searchSteps bounds how often one search reads.
	searchStep  = 500
	searchSteps = 4
	// settled is how long after a change a pass must begin that finds all jobs
	// which were put to sleep before it. Another process can still be recording
	// a pause that it chose before the change.
	settled = 2 * time.Second
)

// waker makes the jobs of due deliveries run that would run later.
//
// The database says what is due. A pending delivery whose next_at has come is
// due, but its job can be asleep because an endpoint's circuit breaker, rate
// limit or window did not admit it. When an endpoint can take
// more, the limiter asks the waker to search for such jobs. So it does not
// matter which process has put a job to sleep.
//
// A change that lets deliveries be sent earlier also adds one to the endpoint's
// column wake, in the same transaction. Every started process looks for
// endpoints whose column woken is less, and searches all their deliveries, at
// once and again when the change has settled. Then it sets woken to the value
// that wake had before. So no crash loses a change.
type waker struct {
	db      *jobdb.DB
	queue   *jobdb.Queue
	limiter *admission.Limiter
	logger  *slog.Logger
	changed chan struct{}
	now     func() time.Time

	mu     sync.Mutex
	roused map[string]*rouse
}

// rouse is an endpoint whose deliveries are to be searched.
type rouse struct {
	wake int64 // the last value that was read
	pass int64 // the value when the search of all its deliveries began

	noticed time.Time // when wake was read first
	began   time.Time // when the pass began
	early   bool      // a pass has ended that began too early
}

func newWaker(db *jobdb.DB, q *jobdb.Queue, limiter *admission.Limiter, logger *slog.Logger) *waker {
	return &waker{db: db, queue: q, limiter: limiter, logger: logger, changed: make(chan struct{}, 1), now: time.Now, roused: map[string]*rouse{}}
}

// notice has this process look for changed endpoints at once.
func (w *waker) notice() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// run searches for sleeping jobs of endpoints that can take more.
func (w *waker) run(ctx context.Context) { w.limiter.Run(ctx, w.find) }

// watch looks for endpoints whose deliveries can be sent earlier.
func (w *waker) watch(ctx context.Context) {
	tick := time.NewTicker(rouseInterval)
	defer tick.Stop()
	for after := ""; ; {
		next, err := w.rouse(ctx, after)
		if err != nil && ctx.Err() == nil {
			w.logger.WarnContext(ctx, "outbox: looking for endpoints that have changed; it will be tried again", slog.Any("error", err))
		}
		if after = next; after != "" {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
		case <-tick.C:
		}
	}
}

// rouse passes a page of changed endpoints to the limiter. It returns where the
// next page begins, or an empty text after the last.
func (w *waker) rouse(ctx context.Context, after string) (next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	type endpoint struct {
		id   string
		wake int64
	}
	all, err := jobdb.Collect(ctx, w.db.Reader(), func(r jobdb.Row) (e endpoint, err error) { return e, r.Scan(&e.id, &e.wake) },
		`SELECT id, wake FROM {schema}outbox_endpoint WHERE wake > woken AND id > ? ORDER BY id LIMIT ?`, after, int64(rousePage))
	if err != nil {
		return "", err
	}
	for _, e := range all {
		if w.noted(e.id, e.wake) {
			w.limiter.Rouse(e.id)
		}
	}
	if len(all) < rousePage {
		return "", nil
	}
	return all[len(all)-1].id, nil
}

// noted notes the value of an endpoint's column wake, and reports whether the
// endpoint is to be searched. It is, if the value is new, or if the first pass
// began before the change had settled.
func (w *waker) noted(endpoint string, wake int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.roused[endpoint]
	if r == nil || r.wake != wake {
		w.roused[endpoint] = &rouse{wake: wake, noticed: w.now()}
		return true
	}
	again := r.early && w.now().Sub(r.noticed) >= settled
	r.early = r.early && !again
	return again
}

// find does searches until one fails.
func (w *waker) find(ctx context.Context, all []admission.Search) (found []admission.Found) {
	for _, s := range all {
		f, err := w.search(ctx, s)
		if err != nil {
			if ctx.Err() == nil {
				w.logger.WarnContext(ctx, "outbox: waking up deliveries; it will be tried again", slog.String("endpoint", s.Endpoint), slog.Any("error", err))
			}
			return found
		}
		found = append(found, f)
	}
	return found
}

// search wakes up the oldest sleeping jobs of an endpoint. A search that finds
// few of them reads a bounded number of deliveries.
func (w *waker) search(ctx context.Context, s admission.Search) (admission.Found, error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	if s.After == "" {
		w.passBegins(s.Endpoint)
	}
	var jobs []int64
	f := admission.Found{Next: s.After}
	for step := range searchSteps {
		limit := searchStep
		if step == 0 { // the oldest ones are usually those that sleep
			limit = min(2*s.Most+20, searchStep)
		}
		all, next, err := w.sleeping(ctx, s.Endpoint, f.Next, limit)
		if err != nil {
			return f, err
		}
		f.Next = next
		for i, d := range all {
			if len(jobs) == s.Most {
				f.Next = all[i-1].id
				break
			}
			jobs = append(jobs, d.job)
		}
		if f.Next == "" || len(jobs) == s.Most {
			break
		}
	}
	var err error
	if f.Woken, err = w.queue.Wake(ctx, jobs); err == nil && f.Next == "" {
		err = w.passEnds(ctx, s.Endpoint)
	}
	return f, err
}

// sleeper is a due delivery with a job that is to run later.
type sleeper struct {
	id  string
	job int64
	due bool
}

// sleeping returns the due deliveries with sleeping jobs among the next ones
// after an ID, and where it has stopped, or an empty text after the last.
func (w *waker) sleeping(ctx context.Context, endpoint, after string, limit int) (all []sleeper, next string, err error) {
	text, args := `SELECT id, job, next_at FROM {schema}outbox_delivery WHERE endpoint = ? AND state = 'pending' AND id > ? ORDER BY id LIMIT ?`,
		[]any{endpoint, after, int64(limit)}
	if w.db.Dialect() == jobdb.Postgres {
		// PostgreSQL expects few rows, since it multiplies the shares of the endpoint
		// and of the state. So it would read and sort all that wait for the endpoint.
		// It does not know that of a place in the order of all rows.
		text, args = `SELECT id, job, next_at FROM (
			SELECT endpoint, state, id, job, next_at FROM {schema}outbox_delivery WHERE (endpoint, state, id COLLATE "POSIX") > (?, 'pending', ?)
			ORDER BY endpoint, state, id COLLATE "POSIX" LIMIT ?) AS next WHERE endpoint = ? AND state = 'pending' ORDER BY id COLLATE "POSIX"`,
			append(args, endpoint)
	}
	all, err = jobdb.Collect(ctx, w.db.Reader(), func(r jobdb.Row) (s sleeper, err error) {
		var nextAt int64
		err = r.Scan(&s.id, &s.job, &nextAt)
		s.due = nextAt <= micros(time.Now())
		return s, err
	}, text, args...)
	if err != nil || len(all) == 0 {
		return nil, "", err
	}
	if len(all) == limit {
		next = all[len(all)-1].id
	}
	var jobs []int64
	for _, s := range all {
		if s.due {
			jobs = append(jobs, s.job)
		}
	}
	if len(jobs) == 0 {
		return nil, next, nil
	}
	asleep, err := w.queue.Asleep(ctx, w.db.Reader(), jobs)
	if err != nil {
		return nil, "", err
	}
	all = slices.DeleteFunc(all, func(s sleeper) bool {
		_, found := slices.BinarySearch(asleep, s.job)
		return !s.due || !found
	})
	return all, next, nil
}

// passBegins notes that all deliveries of an endpoint are about to be searched.
func (w *waker) passBegins(endpoint string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.roused[endpoint]; r != nil {
		r.pass, r.began = r.wake, w.now()
	}
}

// passEnds records that all deliveries of an endpoint were searched, unless the
// endpoint has changed since the pass began, or shortly before.
func (w *waker) passEnds(ctx context.Context, endpoint string) error {
	w.mu.Lock()
	r := w.roused[endpoint]
	complete := r != nil && r.pass == r.wake
	switch {
	case complete && r.began.Sub(r.noticed) < settled:
		r.early, complete = true, false
	case complete:
		delete(w.roused, endpoint)
	}
	w.mu.Unlock()
	if !complete {
		return nil
	}
	_, err := w.db.Exec(ctx, `UPDATE {schema}outbox_endpoint SET woken = ? WHERE id = ? AND woken < ?`, r.pass, endpoint, r.pass)
	return err
}
