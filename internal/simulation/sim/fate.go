package sim

import (
	"math/rand/v2"
	"time"
)

// The faults of the network. Each befalls one connection attempt or one
// request.
const (
	Refused     = "net: connection refused"
	Silent      = "net: no answer to the connection attempt"
	Slow        = "net: delay"
	LostRequest = "net: request lost"
	CutRequest  = "net: reset inside the request"
	Trickle     = "net: body sent in pieces"
	Late        = "net: answer late"
	LostAnswer  = "net: answer lost"
	CutAnswer   = "net: reset inside the answer"
	Duplicate   = "net: request duplicated"
	Reorder     = "net: request overtaken by a later one"
)

// NetworkFaults returns the names of all faults of the network.
func NetworkFaults() []string {
	return []string{
		Refused, Silent, Slow, LostRequest, CutRequest, Trickle, Late, LostAnswer, CutAnswer, Duplicate, Reorder,
	}
}

// Odds are the probabilities of faults, by name. A missing fault never happens.
type Odds map[string]float64

// Even returns odds that give each fault of the network the same share of a
// total probability.
func Even(total float64) Odds {
	odds := Odds{}
	for _, kind := range NetworkFaults() {
		odds[kind] = total / float64(len(NetworkFaults()))
	}
	return odds
}

// pick returns one of the kinds, or "". It always draws once.
func (o Odds) pick(r *rand.Rand, kinds ...string) string {
	f := r.Float64()
	for _, kind := range kinds {
		if f -= o[kind]; f < 0 {
			return kind
		}
	}
	return ""
}

// fate is what happens to one request and its answer.
type fate struct {
	kind     string
	request  time.Duration // how long the request takes
	answer   time.Duration // how long the answer takes
	cutAfter int           // bytes until the reset
	pieces   time.Duration // between the pieces of a body
	copyIn   time.Duration // until the copy of a request arrives
}

// maxHeld is how long a request waits for a later one that overtakes it.
const maxHeld = 10 * time.Second

// newFate draws a fate. It draws the same numbers for each kind, so that a
// change of the odds keeps what follows.
func newFate(r *rand.Rand, o Odds) fate {
	f := fate{
		kind: o.pick(r, Slow, LostRequest, CutRequest, Trickle, Late, LostAnswer, CutAnswer, Duplicate, Reorder),
		// a millisecond or so each way, so that answers come in any order
		request: time.Duration(r.Int64N(int64(2 * time.Millisecond))),
		answer:  time.Duration(r.Int64N(int64(2 * time.Millisecond))),
	}
	long, bytes, whole := time.Duration(r.Int64N(int64(time.Minute))), r.IntN(700), r.IntN(4)
	switch f.kind {
	case Slow:
		f.request += long / 20
	case Late:
		f.answer += 5*time.Second + long
	case CutRequest, CutAnswer:
		f.cutAfter = bytes
	case Trickle:
		f.pieces = long / 20
	case Duplicate:
		if f.copyIn = long; whole > 0 { // most copies come while the first may be handled
			f.copyIn = long / 30
		}
		f.copyIn += time.Millisecond
	case Reorder:
		f.request = maxHeld
	}
	return f
}
