package console

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/signer"
)

const (
	// recentMinutes is how many minutes a Recent remembers.
	recentMinutes = 24 * 60
	// maxSources bounds the memory of a Recent. Further sources are counted
	// together.
	maxSources   = 16
	otherSources = "other sources"
)

// Recent counts the requests of the last 24 hours by source, outcome and
// reason, for [WithRecent]. It keeps no request and no part of one. It needs
// about 150 KB for each source, and no more than 17 sources are kept apart.
//
// The counts are those of this process and end with it. Make a Recent with
// [NewRecent]. It is safe for concurrent use and has no goroutine.
type Recent struct {
	began   time.Time
	mu      sync.Mutex
	sources map[string]*series
}

// NewRecent returns a Recent that has counted nothing.
func NewRecent() *Recent {
	return &Recent{began: time.Now(), sources: map[string]*series{}}
}

// Observer returns a function for [receiver.WithObserver] or
// [deployments.WithObserver], which counts the requests of a source. For an
// inbox, pass the option to [inbox.Inbox.Handler]. A service that has an
// another observer calls both.
//
//	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"),
//		receiver.WithObserver(recent.Observer("platform")))
func (r *Recent) Observer(source string) func(context.Context, receiver.Result) {
	if r == nil || r.sources == nil {
		return func(context.Context, receiver.Result) {}
	}
	s := r.series(source)
	return func(_ context.Context, res receiver.Result) { s.add(kindOf(&res), time.Now()) }
}

func (r *Recent) series(source string) *series {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sources[source]; s != nil {
		return s
	}
	if len(r.sources) >= maxSources {
		source = otherSources
	}
	s := r.sources[source]
	if s == nil {
		s = &series{}
		r.sources[source] = s
	}
	return s
}

// RecentCount is how many requests of a source had an outcome for one reason.
type RecentCount struct {
	Source  string
	Outcome receiver.Outcome
	// Reason is a text for people. It is one of a fixed set, and has nothing of
	// a request.
	Reason string
	N      int
	// Last is when the latest of them ended.
	Last time.Time
}

// Counts returns what ended in the last minutes, up to 24 hours, with the
// current minute as the last one. It is ordered by source.
func (r *Recent) Counts(minutes int) []RecentCount {
	var all []RecentCount
	for _, c := range r.read(time.Now(), minutes, 1) {
		n := 0
		for _, slot := range c.slots {
			n += slot
		}
		all = append(all, RecentCount{c.source, kinds[c.kind].outcome, kinds[c.kind].reason, n, c.last})
	}
	return all
}

// counted is a source's requests of one kind, in slots of time.
type counted struct {
	source string
	kind   int
	slots  []int
	last   time.Time
}

// read returns the kinds that occurred. The last slot ends with the current
// minute.
func (r *Recent) read(now time.Time, minutes, slots int) (all []counted) {
	if r == nil {
		return nil
	}
	minutes = min(max(minutes, 1), recentMinutes)
	r.mu.Lock()
	names := make([]string, 0, len(r.sources))
	byName := make(map[string]*series, len(r.sources))
	for name, s := range r.sources {
		names, byName[name] = append(names, name), s
	}
	r.mu.Unlock()
	slices.Sort(names)
	for _, name := range names {
		for kind, c := range byName[name].read(minuteOf(now), minutes, slots) {
			if c.slots != nil {
				c.source, c.kind = name, kind
				all = append(all, c)
			}
		}
	}
	return all
}

// names returns the sources, in order.
func (r *Recent) names() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.sources {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// series counts the requests of one source by the minute.
type series struct {
	mu      sync.Mutex
	minutes [recentMinutes]bucket
	last    [kindCount]time.Time
}

// bucket is a minute. It is used again a day later.
type bucket struct {
	minute int64
	n      [kindCount]uint32
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

func (s *series) add(kind int, now time.Time) {
	minute := minuteOf(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.minutes[minute%recentMinutes]
	if b.minute != minute {
		*b = bucket{minute: minute}
	}
	b.n[kind]++
	s.last[kind] = now
}

func (s *series) read(now int64, minutes, slots int) (all [kindCount]counted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for back := range int64(minutes) {
		b := &s.minutes[(now-back)%recentMinutes]
		if b.minute != now-back {
			continue
		}
		slot := slots - 1 - int(back)*slots/minutes
		for kind, n := range b.n {
			if n == 0 {
				continue
			}
			if all[kind].slots == nil {
				all[kind] = counted{slots: make([]int, slots), last: s.last[kind]}
			}
			all[kind].slots[slot] += int(n)
		}
	}
	return all
}

// kind is an outcome with its reason, and what to do about it. class is that of
// a tag.
type kind struct {
	outcome           receiver.Outcome
	class, reason, do string
}

// The kinds are indexes of the table.
const (
	kindHandled = iota
	kindIncomplete
	kindAccepted
	kindDuplicate
	kindIgnored
	kindInFlight
	kindMethod
	kindContent
	kindTooLarge
	kindTooSlow
	kindCut
	kindNoHeader
	kindMalformed
	kindNoMatch
	kindNoKey
	kindTooOld
	kindTooNew
	kindNoTenant
	kindUnverified
	kindInvalid
	kindDeclined
	kindFailed
	kindPanicked
	kindFull
	kindUnavailable
	kindCount
)

var kinds = [kindCount]kind{
	kindHandled:     {receiver.Handled, "good", "The handler succeeded.", ""},
	kindIncomplete:  {receiver.Handled, "wait", "It took effect, but part of the work failed.", "The log says what failed. The sender does not try again."},
	kindAccepted:    {receiver.Accepted, "good", "It was stored for later.", ""},
	kindDuplicate:   {receiver.Duplicate, "idle", "It was handled before.", "Retries are normal. Many of them mean that answers reach the sender too late."},
	kindIgnored:     {receiver.Ignored, "idle", "It was authentic, but not about a deployment.", "Choose fewer events at the sender, if there are many."},
	kindInFlight:    {receiver.InFlight, "idle", "Another process was handling it.", "The sender tries again. Many of them mean that handlers are slow."},
	kindMethod:      {receiver.Refused, "wait", "The method was not POST.", "Browsers and scanners do this. A sender has to use POST."},
	kindContent:     {receiver.Refused, "wait", "The content type or encoding was wrong.", "Let the sender send JSON that is not compressed, or see WithMediaTypes."},
	kindTooLarge:    {receiver.Refused, "wait", "The body was over the limit.", "Raise WithMaxBody if the sender is yours."},
	kindTooSlow:     {receiver.Refused, "wait", "The body arrived too slowly.", "Look at the network, or raise WithBodyTimeout."},
	kindCut:         {receiver.Refused, "wait", "The body ended early.", "The sender or a proxy closed the connection. The sender tries again."},
	kindNoHeader:    {receiver.Unauthenticated, "wait", "A signature header was missing.", "Check that the sender signs, and that no proxy removes its headers."},
	kindMalformed:   {receiver.Unauthenticated, "wait", "A signature header was malformed.", "Check that the sender uses the scheme of this receiver."},
	kindNoMatch:     {receiver.Unauthenticated, "wait", "No key matched the signature.", "Compare the secret on both sides, and check that nothing changes the body on its way."},
	kindNoKey:       {receiver.Unauthenticated, "wait", "The API key was missing or unknown.", "Give the sender another key, and check that it was not revoked."},
	kindTooOld:      {receiver.Unauthenticated, "wait", "The timestamp was too old.", "Check the clocks of both sides. A captured request looks like this, too."},
	kindTooNew:      {receiver.Unauthenticated, "wait", "The timestamp was in the future.", "Check the clocks of both sides."},
	kindNoTenant:    {receiver.Unauthenticated, "wait", "The tenant was unknown.", "Check the address that the sender uses."},
	kindUnverified:  {receiver.Unauthenticated, "wait", "It was not authentic.", "The log has the reason."},
	kindInvalid:     {receiver.Invalid, "wait", "It was authentic, but not a valid payload.", "The answer and the log name the members that are wrong."},
	kindDeclined:    {receiver.Failed, "wait", "The handler refused it with a 4xx.", "The log has the handler's status."},
	kindFailed:      {receiver.Failed, "bad", "The handler failed.", "The log has its error. The sender tries again."},
	kindPanicked:    {receiver.Panicked, "bad", "The handler panicked.", "The log has the stack. The sender tries again."},
	kindFull:        {receiver.Unavailable, "bad", "The store or the backlog was full.", "Let more workers handle deliveries, or raise the limit. The sender tries again."},
	kindUnavailable: {receiver.Unavailable, "bad", "The store or the verifier did not answer.", "Look at the database. The sender tries again, so nothing is lost."},
}

// reasons are those that an error tells.
var reasons = []struct {
	outcome receiver.Outcome
	is      error
	kind    int
}{
	{receiver.Unauthenticated, signer.ErrMissingHeader, kindNoHeader},
	{receiver.Unauthenticated, signer.ErrMalformed, kindMalformed},
	{receiver.Unauthenticated, signer.ErrNoMatch, kindNoMatch},
	{receiver.Unauthenticated, signer.ErrInvalidAPIKey, kindNoKey},
	{receiver.Unauthenticated, signer.ErrTooOld, kindTooOld},
	{receiver.Unauthenticated, signer.ErrTooNew, kindTooNew},
	{receiver.Unauthenticated, receiver.ErrUnknownTenant, kindNoTenant},
	{receiver.Unavailable, dedupe.ErrFull, kindFull},
	{receiver.Unavailable, inbox.ErrFull, kindFull},
	{receiver.Unavailable, deployments.ErrLedgerFull, kindFull},
}

// kindOf returns the index of a result's kind.
func kindOf(res *receiver.Result) int {
	for _, r := range reasons {
		if r.outcome == res.Outcome && errors.Is(res.Err, r.is) {
			return r.kind
		}
	}
	switch res.Outcome {
	case receiver.Handled:
		if res.Err != nil {
			return kindIncomplete
		}
		return kindHandled
	case receiver.Refused:
		refused := map[int]int{405: kindMethod, 415: kindContent, 413: kindTooLarge, 408: kindTooSlow}
		return cmp.Or(refused[res.Status], kindCut)
	case receiver.Unauthenticated:
		return kindUnverified
	case receiver.Failed:
		if res.Status >= 400 && res.Status < 500 {
			return kindDeclined
		}
		return kindFailed
	}
	return cmp.Or(kindByOutcome[res.Outcome], kindFailed)
}

var kindByOutcome = map[receiver.Outcome]int{
	receiver.Accepted: kindAccepted, receiver.Duplicate: kindDuplicate, receiver.Ignored: kindIgnored, receiver.InFlight: kindInFlight,
	receiver.Invalid: kindInvalid, receiver.Panicked: kindPanicked, receiver.Unavailable: kindUnavailable,
}
