package memory

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/simulation/sim"
	"github.com/deployhook/deployhook/sender"
)

// The faults of the signing side.
const (
	signerFails = "signer: fails"
	signerSlow  = "signer: waits before it signs"
	clockStep   = "clock: step"
	clockDrift  = "clock: drift"
)

// settled is how long after the end of the faults an attempt may still meet
// one.
const settled = 5 * time.Minute

// waitRange is the shortest and the longest wait that a schedule documents.
type waitRange struct{ least, most time.Duration }

func wait(least, jitter time.Duration) waitRange { return waitRange{least, least + jitter} }

// schedules are the documented waits, written down a second time.
var schedules = []struct {
	name     string
	schedule sender.Schedule
	waits    []waitRange
}{
	{"pipeline", sender.Pipeline, []waitRange{
		wait(time.Second, time.Second/2), wait(2*time.Second, time.Second), wait(4*time.Second, 2*time.Second),
		wait(8*time.Second, 4*time.Second), wait(16*time.Second, 4*time.Second), wait(20*time.Second, 4*time.Second),
	}},
	{"platform", sender.Platform, []waitRange{
		wait(10*time.Second, 5*time.Second), wait(30*time.Second, 10*time.Second), wait(2*time.Minute, 30*time.Second),
		wait(10*time.Minute, time.Minute), wait(time.Hour, 0),
	}},
	{"standard", sender.StandardWebhooks, []waitRange{
		wait(5*time.Second, time.Second/2), wait(5*time.Minute, 30*time.Second), wait(30*time.Minute, 3*time.Minute),
		wait(2*time.Hour, 12*time.Minute), wait(5*time.Hour, 30*time.Minute), wait(10*time.Hour, time.Hour),
		wait(14*time.Hour, 84*time.Minute), wait(20*time.Hour, 2*time.Hour), wait(24*time.Hour, 144*time.Minute),
	}},
	{"once", sender.Once, nil},
}

// job is a delivery that the platform has stored and makes until it ends.
type job struct {
	msg   sender.Message
	path  string
	at    time.Duration
	story string // the deployment of a report, or ""
	step  int    // the report's place in the story

	mu      sync.Mutex
	ended   bool
	outcome sender.Outcome
}

// startPlatform starts the sending process. It makes all deliveries that have
// not ended, as a platform with a database does.
func (s *scenario) startPlatform() *sim.Process {
	return s.w.Start("platform", s.platformClock, func(p *sim.Process) {
		watch := &attempts{s: s, byID: map[string]*last{}}
		snd, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("10.0.0.0/8")), sender.WithLogger(discard()),
			sender.WithSchedule(schedules[s.schedule].schedule), sender.WithTimeout(s.timeout), sender.WithMaxRetryAfter(s.maxRetryAfter),
			sender.WithObserver(watch.observe))
		if err != nil {
			panic(err) // a mistake of the world
		}
		if sim.UseDialer(snd, p.DialContext) != 2 {
			panic("the sender has not two transports") // a mistake of the world
		}
		p.AtEnd(func() { _ = snd.Close() })
		for _, j := range s.jobs {
			if !j.done() {
				p.Go(func() { s.deliver(p, snd, j) })
			}
		}
	})
}

func (j *job) done() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ended
}

// deliver makes one delivery and keeps its result, unless the process died.
func (s *scenario) deliver(p *sim.Process, snd *sender.Sender, j *job) {
	if p.Sleep(max(j.at-s.w.Elapsed(), 0)) != nil {
		return
	}
	ep := sender.Endpoint{URL: sender.NewURL("http://" + receiverAddress + j.path), Signer: &signing{s: s, process: p}}
	begun := time.Now()
	receipt, err := snd.Deliver(p.Context(), ep, j.msg)
	if !p.Alive() {
		return
	}
	s.w.Cover("delivery: " + string(receipt.Outcome))
	s.w.Log("%s ends: %s %v", j.msg.ID, receipt.Outcome, err)
	if took := time.Since(begun); took > s.longest() {
		s.w.Violate("%s took %v, but its schedule ends after %v", j.msg.ID, took, s.longest())
	}
	j.mu.Lock()
	j.ended, j.outcome = true, receipt.Outcome
	j.mu.Unlock()
	switch {
	case (err == nil) != (receipt.Outcome == sender.Delivered):
		s.w.Violate("%s is %s with the error %v", j.msg.ID, receipt.Outcome, err)
	case err == nil:
		s.acknowledged(j)
	case !errors.Is(err, sender.ErrExhausted) && !errors.Is(err, sender.ErrRefused):
		s.w.Violate("%s ended with %v", j.msg.ID, err)
	case receipt.Outcome == sender.Refused:
		s.w.Violate("%s was refused: %v", j.msg.ID, err)
	}
}

// acknowledged checks that a delivery took effect before its sender was told.
func (s *scenario) acknowledged(j *job) {
	if j.story != "" {
		s.ledger.acknowledged(j.story, j.step)
		return
	}
	if !s.effects.took(j.msg.ID) {
		s.w.Violate("%s is lost: its sender was told that it succeeded, and no handler had its effect", j.msg.ID)
	}
}

// longest is how long a delivery takes at most.
func (s *scenario) longest() time.Duration {
	waits := schedules[s.schedule].waits
	total := time.Duration(len(waits)+1) * s.timeout
	for _, w := range waits {
		total += max(w.most, s.maxRetryAfter)
	}
	return total
}

// signing is a signer like one that asks a key service. It signs with the
// platform's clock and with the keys that the operator has given it.
type signing struct {
	s       *scenario
	process *sim.Process
}

func (g *signing) Sign(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error {
	kind, wait := g.s.signerFault()
	if kind != "" {
		g.s.w.Fault(kind)
	}
	switch kind {
	case signerFails:
		return errors.New("the key service failed")
	case signerSlow:
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
	return g.s.signers.Load().Sign(ctx, r, id, at.Add(g.process.Clock.Error()), body)
}

// attempts checks the attempts of one process.
type attempts struct {
	s *scenario

	mu   sync.Mutex
	byID map[string]*last
}

// last is the latest attempt of a delivery.
type last struct {
	number int
	next   time.Time // when the next one is due
}

func (a *attempts) observe(_ context.Context, at sender.Attempt) {
	w := a.s.w
	w.Cover("attempt: " + string(at.Outcome) + " " + string(at.Class))
	w.Log("%s attempt %d: %s %s %d, waits %v", at.ID, at.Number, at.Outcome, at.Class, at.Status, at.Wait)
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.byID[at.ID]
	if l == nil {
		l = &last{}
		a.byID[at.ID] = l
	}
	if at.Number != l.number+1 {
		w.Violate("%s: attempt %d comes after attempt %d", at.ID, at.Number, l.number)
	}
	if l.number > 0 && !at.Start.Equal(l.next) {
		w.Violate("%s: attempt %d began at %v, but was due at %v", at.ID, at.Number, at.Start, l.next)
	}
	if took := time.Since(at.Start); took > a.s.timeout {
		w.Violate("%s: attempt %d took %v, but the timeout is %v", at.ID, at.Number, took, a.s.timeout)
	}
	if at.Outcome == sender.Failed && a.s.capacity > len(a.s.jobs) && a.s.calm.before(at.Start, settled) {
		w.Violate("%s: attempt %d failed with %v, although all faults had ended", at.ID, at.Number, at.Err)
	}
	l.number, l.next = at.Number, time.Now().Add(at.Wait)
	a.waits(&at)
}

// waits compares the wait after an attempt with the documented range and with
// the header of the answer.
func (a *attempts) waits(at *sender.Attempt) {
	waits := schedules[a.s.schedule].waits
	asked := time.Duration(0)
	if seconds, err := strconv.Atoi(at.ResponseHeader.Get("Retry-After")); err == nil && at.Status >= 300 {
		asked = min(time.Duration(seconds)*time.Second, a.s.maxRetryAfter)
	}
	switch {
	case at.Outcome != sender.Failed || at.Number > len(waits):
		if at.Wait != 0 {
			a.s.w.Violate("%s: a wait of %v after the last attempt", at.ID, at.Wait)
		}
	case asked > 0 && at.Wait == asked && asked > waits[at.Number-1].least:
		a.s.w.Cover("retry: after Retry-After")
	case at.Wait < waits[at.Number-1].least || at.Wait < asked || at.Wait > waits[at.Number-1].most:
		a.s.w.Violate("%s: a wait of %v after attempt %d, but the schedule says %v to %v and Retry-After %v", at.ID, at.Wait, at.Number, waits[at.Number-1].least, waits[at.Number-1].most, asked)
	default:
		a.s.w.Cover(fmt.Sprintf("retry: %s after attempt %d", schedules[a.s.schedule].name, at.Number))
	}
}
