package linearize

import (
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// claimInput is a call of a dedupe.Store.
type claimInput struct {
	Method string        `json:"method"` // one of the constants below
	Key    string        `json:"key"`
	Token  int64         `json:"token,omitempty"` // of the claim that is renewed, completed or released
	Lease  time.Duration `json:"lease,omitempty"`
}

// The methods of a store, and what happens to its server. The runner adds the
// latter to the histories of the stores that may then forget something.
const (
	claim    = "Claim"
	renew    = "Renew"
	complete = "Complete"
	release  = "Release"
	forget   = "server without persistence restarts"
	failOver = "replica takes over"
)

// claimOutput is the result of a call. The zero claimOutput is an unknown one.
type claimOutput struct {
	Result     string        `json:"result"` // one of the constants below, or an error that no call may return
	Token      int64         `json:"token,omitempty"`
	RetryAfter time.Duration `json:"retryAfter,omitempty"`
}

const (
	unknown   = "" // the answer was lost
	claimed   = "claimed"
	inFlight  = "in flight"
	busy      = "busy" // in flight, with a RetryAfter that says nothing about the lease
	completed = "completed"
	done      = "done"       // renewed, completed or released
	leaseLost = "lease lost" // dedupe.ErrLeaseLost
)

// slack is the precision of leases. SQLite and Redis round to milliseconds.
const slack = 5 * time.Millisecond

const free = ""

// keyState is what a store remembers of one key. Time does not change it. Each
// call compares the end of the lease or TTL with the clock.
type keyState struct {
	phase string // free, claimed or completed; the latter two until the end
	// token belongs to the claim that holds or completed the key. It is 0 for a
	// claim whose answer was lost.
	token int64
	// latest is the greatest token of any claim of the key.
	latest int64
	// length is the time from the last claim, renewal or completion to the end
	// of its lease or TTL. That end lies between endsFrom and endsTo.
	length           int64
	endsFrom, endsTo int64
}

// claimsModel is the sequential model of a dedupe.Store whose completions are
// remembered for ttl.
type claimsModel struct{ ttl time.Duration }

// model returns the model for one key at a time. A state says what one key may
// be like, and a call may have several next states.
func (m claimsModel) model() porcupine.Model {
	nondeterministic := porcupine.NondeterministicModel{
		Partition: split(func(in claimInput) string { return in.Key }),
		Init:      func() []any { return []any{keyState{}} },
		Step: func(state, input, output any) (next []any) {
			for _, s := range m.step(state.(keyState), input.(timed[claimInput]), output.(claimOutput)) {
				next = append(next, s)
			}
			return next
		},
		DescribeOperation: describeClaim,
	}
	return nondeterministic.ToModel()
}

// step returns the states that may follow. The call read the clock at some
// moment between its beginning and its end. If the lease may have ended before
// that moment, one possibility is that the key was free. If it may have ended
// after it, another one is that it was not. Both narrow down when the lease
// ends.
func (m claimsModel) step(s keyState, call timed[claimInput], out claimOutput) (next []keyState) {
	if s.phase == free {
		return m.free(s, call, out)
	}
	// What started the lease read the clock before this call returned.
	s.endsTo = min(s.endsTo, after(call.to, s.length+int64(slack)))
	if s.endsFrom <= call.to {
		ended := s
		ended.endsTo = min(s.endsTo, call.to)
		next = append(next, m.free(ended, call, out)...)
	}
	if s.endsTo > call.from {
		s.endsFrom = max(s.endsFrom, call.from)
		next = append(next, m.held(s, call, out)...)
	}
	return next
}

// free returns the state after a call that found the key free, or none if the
// call could not return this output. It is the column "free" of the table in
// the documentation of dedupe.Store.
func (m claimsModel) free(s keyState, call timed[claimInput], out claimOutput) []keyState {
	switch call.in.Method {
	case claim:
		if out.Result == busy {
			return []keyState{s} // see contended
		}
		if out.Result == claimed && out.Token <= s.latest {
			return nil // tokens increase
		}
		next := s.until(claimed, out.Token, call, call.in.Lease)
		next.latest = max(s.latest, out.Token)
		return leads(next, claimed, out)
	case renew:
		return leads(s, leaseLost, out)
	case complete:
		return leads(s.until(completed, call.in.Token, call, m.ttl), done, out)
	case release:
		return leads(s, done, out)
	}
	return m.event(s, call.in.Method)
}

// held does the same for a key that is claimed or completed. These are the
// other columns.
func (m claimsModel) held(s keyState, call timed[claimInput], out claimOutput) []keyState {
	own := s.token == call.in.Token
	switch call.in.Method {
	case claim:
		return s.claim(call, out)
	case renew:
		if s.phase == claimed && own {
			return leads(s.until(claimed, s.token, call, call.in.Lease), done, out)
		}
		return leads(s, leaseLost, out)
	case complete:
		switch {
		case !own:
			return leads(s, leaseLost, out)
		case s.phase == completed:
			return leads(s, done, out)
		}
		return leads(s.until(completed, s.token, call, m.ttl), done, out)
	case release:
		if s.phase == claimed && own {
			return leads(keyState{latest: s.latest}, done, out)
		}
		return leads(s, leaseLost, out)
	}
	return m.event(s, call.in.Method)
}

// claim returns the state after a claim of a key that is not free.
func (s keyState) claim(call timed[claimInput], out claimOutput) []keyState {
	switch {
	case s.phase == completed:
		return leads(s, completed, out)
	case out.Result != inFlight:
		return leads(s, busy, out)
	}
	// The lease ends when RetryAfter has passed since this call.
	s.endsFrom = max(s.endsFrom, after(call.from, int64(out.RetryAfter-slack)))
	s.endsTo = min(s.endsTo, after(call.to, int64(out.RetryAfter+slack)))
	if s.endsFrom > s.endsTo {
		return nil
	}
	return []keyState{s}
}

// replicated is the state of one key on a master, and on the replica that takes
// over.
type replicated struct {
	master keyState
	// behind says that the replica got no write since it was in this state.
	behind  bool
	replica keyState
}

// failover returns the model for stores whose server is replaced by a replica.
// The replica has all writes of the calls that ended before a time, and any
// number of the later ones, up to the first that it lacks. Tokens still
// increase.
func (m claimsModel) failover(since int64) porcupine.Model {
	nondeterministic := porcupine.NondeterministicModel{
		Partition: split(func(in claimInput) string { return in.Key }),
		Init:      func() []any { return []any{replicated{}} },
		Step: func(state, input, output any) (next []any) {
			s, call := state.(replicated), input.(timed[claimInput])
			if call.in.Method == failOver {
				now := s.master
				if s.behind {
					now = s.replica
				}
				now.latest = s.master.latest
				return []any{replicated{master: now}}
			}
			for _, master := range m.step(s.master, call, output.(claimOutput)) {
				next = append(next, replicated{master, s.behind, s.replica})
				if !s.behind && call.to >= since {
					next = append(next, replicated{master, true, s.master})
				}
			}
			return next
		},
		DescribeOperation: describeClaim,
	}
	return nondeterministic.ToModel()
}

// event returns the states after something happened to the server.
func (m claimsModel) event(s keyState, method string) []keyState {
	if method == forget {
		return []keyState{{latest: s.latest}}
	}
	return nil
}

// leads returns next if the output is the result of this transition, or is
// unknown.
func leads(next keyState, result string, out claimOutput) []keyState {
	if out.Result != result && out.Result != unknown {
		return nil
	}
	return []keyState{next}
}

// until returns the state after a call that started a lease or a TTL.
func (s keyState) until(phase string, token int64, call timed[claimInput], length time.Duration) keyState {
	s.phase, s.token, s.length = phase, token, int64(length)
	s.endsFrom, s.endsTo = after(call.from, int64(length-slack)), after(call.to, int64(length+slack))
	return s
}

// after adds to a time that may be never.
func after(at, d int64) int64 {
	if d > 0 && at > math.MaxInt64-d {
		return never
	}
	return at + d
}

func describeClaim(input, output any) string {
	in, out := input.(timed[claimInput]).in, output.(claimOutput)
	text := in.Method
	switch in.Method {
	case claim:
		text += fmt.Sprintf("(%s, %v)", in.Key, in.Lease)
	case renew:
		text += fmt.Sprintf("(%d, %v)", in.Token, in.Lease)
	default:
		text += fmt.Sprintf("(%d)", in.Token)
	}
	switch out.Result {
	case unknown:
		return text + ": lost"
	case claimed:
		return fmt.Sprintf("%s: claimed, token %d", text, out.Token)
	case inFlight:
		return fmt.Sprintf("%s: in flight for %v", text, out.RetryAfter)
	}
	return text + ": " + out.Result
}
