package recovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

const (
	// staleLimit is the number of pages in a row without a new entry that are read.
	// Pages of entries that were read before are normal while events arrive.
	staleLimit = 10
	// refusedLimit and unconfirmedLimit are the numbers of asks in a row that may
	// have that outcome before the run stops.
	refusedLimit     = 100
	unconfirmedLimit = 5
)

// run is one run of a Client.
type run struct {
	*Client
	since   time.Time
	started time.Time
	book    *book
	result  Result
	toAsk   int
	done    int
}

// run reads the log, asks, and fills in the result.
func (r *run) run(ctx context.Context) error {
	if err := r.readLog(ctx); err != nil {
		return err
	}
	candidates := r.sort()
	if !r.dryRun {
		if err := r.askAll(ctx, candidates); err != nil {
			return err
		}
	}
	r.result.CompleteUntil = completeUntil(r.started, r.book.timed, r.result.Missed)
	return nil
}

// readLog reads the pages from the newest to the oldest.
func (r *run) readLog(ctx context.Context) error {
	stale := 0
	for query := r.log.platform.first(); query != ""; {
		a, err := r.read(ctx, r.api+r.log.path+"?"+query)
		if err != nil {
			return fmt.Errorf("read the log of %s: %w", r.log, err)
		}
		entries, next, err := r.log.platform.page(a, query)
		if err != nil {
			return fmt.Errorf("read the log of %s: %w", r.log, err)
		}
		added, older := r.addAll(entries)
		if r.result.Examined > r.maxEntries {
			return fmt.Errorf("%w: the log of %s has more than %d attempts; set WithSince, or raise WithMaxEntries", ErrTooLarge, r.log, r.maxEntries)
		}
		if stale++; added > 0 {
			stale = 0
		}
		if stale == staleLimit {
			return fmt.Errorf("%w: the log of %s repeats itself", ErrAPI, r.log)
		}
		r.report(ctx, time.Time{}, "")
		if older {
			return nil
		}
		query = next
	}
	return nil
}

// addAll reports how many entries are new, and whether all are too old.
func (r *run) addAll(entries []entry) (added int, older bool) {
	older = len(entries) > 0
	for _, e := range entries {
		older = older && tooOld(&e, r.since)
		if r.result.Oldest.IsZero() || e.at.Before(r.result.Oldest) {
			r.result.Oldest = e.at
		}
		if r.events != nil && !r.events[e.event] {
			e.accepted, e.key = true, "" // it counts as read only
		}
		if r.book.add(e, r.since) {
			added++
		}
	}
	r.result.Examined += added
	return added, older
}

// sort judges what is missing. It returns the indexes in the result of those to
// ask for, and forgets what this process knew about all others.
func (r *run) sort() []int {
	var candidates []int
	known := map[string]earlier{}
	for _, d := range r.book.oldestFirst() {
		m := d.missed()
		m.Outcome, m.Reason = r.judge(d, time.Now())
		if e, ok := r.asked[m.GUID]; ok {
			known[m.GUID] = e
		}
		switch {
		case m.Outcome != Listed || r.dryRun:
		case len(candidates) == r.maxAsks:
			m.Outcome, m.Reason = Deferred, "the run had asked for as many as WithMaxAsks permits"
		default:
			m.Outcome, m.Reason = Deferred, "the run stopped before it was asked for"
			candidates = append(candidates, len(r.result.Missed))
		}
		r.result.Missed = append(r.result.Missed, m)
	}
	r.asked = known
	r.toAsk = len(candidates)
	return candidates
}

// askAll asks for the candidates in their order. It stops where asking for more
// would do harm or is useless.
func (r *run) askAll(ctx context.Context, candidates []int) error {
	inARow := map[Outcome]int{}
	for i, at := range candidates {
		if i > 0 {
			if err := r.wait(ctx, r.pace, "the pace of WithPace"); err != nil {
				return err
			}
		}
		m := &r.result.Missed[at]
		if err := r.askFor(ctx, m); err != nil {
			return fmt.Errorf("ask %s to send %s again: %w", r.log, m.GUID, err)
		}
		r.done++
		r.report(ctx, time.Time{}, "")
		inARow[m.Outcome]++
		if m.Outcome == Asked {
			clear(inARow)
		}
		limit := r.log.platform.limits().failures
		if inARow[Failed] > 0 && inARow[Failed] >= limit || inARow[Unconfirmed] >= unconfirmedLimit || inARow[Refused] >= refusedLimit {
			return nil
		}
	}
	return nil
}

// askFor asks for one delivery. It is not repeated if its answer is lost.
// Instead the next run finds the attempt in the log, or asks again later.
func (r *run) askFor(ctx context.Context, m *Missed) error {
	r.asked[m.GUID] = earlier{at: time.Now(), attempt: m.ID}
	a, err := r.request(ctx, http.MethodPost, r.api+r.log.path+r.log.platform.ask(m.ID), askAnswer)
	switch {
	case err != nil && !errors.Is(err, ErrAPI) && !errors.Is(err, ErrTooLarge): // it was not sent
		delete(r.asked, m.GUID)
		return err
	case err != nil:
		m.Outcome, m.Reason = Unconfirmed, "the answer was lost"
		return ctx.Err()
	case a.status >= http.StatusInternalServerError:
		m.Outcome, m.Reason = Unconfirmed, "the API answered "+a.reason()
	case a.status >= 200 && a.status <= 299, a.status == http.StatusUnprocessableEntity && r.log.platform.limits().failures > 0:
		m.Outcome, m.Reason = r.log.platform.asked(a)
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden, a.status < http.StatusBadRequest:
		delete(r.asked, m.GUID)
		return refusal(a)
	default:
		m.Outcome, m.Reason = Refused, "the API answered "+a.reason()
		r.asked[m.GUID] = earlier{refused: m.Reason}
	}
	return nil
}

// report calls the function of WithProgress.
func (r *run) report(ctx context.Context, until time.Time, reason string) {
	if r.progress == nil {
		return
	}
	p := Progress{Examined: r.result.Examined, ToAsk: r.toAsk, Done: r.done, WaitUntil: until, Reason: reason}
	r.faults.CallUntil(ctx, inProgress, func() { r.progress(ctx, p) })
}

// record writes the line about the run.
func (r *run) record(ctx context.Context, err error) {
	level, text := slog.LevelInfo, "recovery: examined the delivery log"
	if len(r.result.Missed) == 0 {
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{
		slog.String("log", r.log.name), slog.Int("examined", r.result.Examined), slog.Int("missed", r.result.Count()),
		slog.Int("asked", r.result.Count(Asked)), slog.Int("failed", r.result.Count(Failed, Unconfirmed)),
		slog.Int("pending", r.result.Count(Pending)), slog.Int("deferred", r.result.Count(Deferred)), slog.Int("refused", r.result.Count(Refused)),
		slog.Time("completeUntil", r.result.CompleteUntil), slog.Bool("dryRun", r.dryRun),
	}
	if err != nil && ctx.Err() == nil {
		level, text = slog.LevelWarn, "recovery: could not complete"
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	r.logger.LogAttrs(ctx, level, text, attrs...)
}
