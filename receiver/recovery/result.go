package recovery

import (
	"slices"
	"time"
)

// Outcome says what a run did about a missed delivery.
type Outcome string

// The outcomes of a missed delivery.
const (
	// Listed was found in a dry run, which would have asked for it.
	Listed Outcome = "listed"
	// Asked will be sent again. GitLab has sent it, and the receiver accepted it.
	Asked Outcome = "asked"
	// Failed was sent again, and the receiver did not accept it. Only GitLab
	// tells.
	Failed Outcome = "failed"
	// Unconfirmed may have been asked for, because the answer was lost.
	Unconfirmed Outcome = "unconfirmed"
	// Pending was asked for earlier, or its attempt has no result yet.
	Pending Outcome = "pending"
	// Deferred is left for a later run.
	Deferred Outcome = "deferred"
	// Refused can't be sent again, or is given up.
	Refused Outcome = "refused"
)

// Missed is a delivery that has no attempt with a 2xx.
type Missed struct {
	// ID is the log's number of the last attempt.
	ID int64 `json:"id"`
	// GUID is the same for all attempts. It is X-GitHub-Delivery on GitHub and
	// Idempotency-Key on GitLab.
	GUID string `json:"guid"`
	// Event is X-GitHub-Event, or GitLab's trigger such as "deployment_hooks".
	Event string `json:"event"`
	// Action is the event's action. It is empty if the log has none.
	Action string `json:"action,omitempty"`
	// First and Last are the times of the first and the last attempt. They are
	// zero if the log has none.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Attempts counts the attempts in the part of the log that was read.
	Attempts int `json:"attempts"`
	// Status is what the log says about the last attempt.
	Status string `json:"status"`
	// Outcome says what the run did.
	Outcome Outcome `json:"outcome"`
	// Reason is a sentence about the outcome. It is empty for Listed and Asked.
	Reason string `json:"reason,omitempty"`
}

// Result is what a run found and did.
type Result struct {
	// Examined counts the attempts that were read from the log.
	Examined int `json:"examined"`
	// Oldest is the time of the oldest attempt that was read. If it is long after
	// the start of an outage, the platform no longer has what came before.
	Oldest time.Time `json:"oldest,omitzero"`
	// Missed has the deliveries without an attempt with a 2xx, the oldest first.
	Missed []Missed `json:"missed"`
	// CompleteUntil is a time before which no delivery is waiting to be accepted.
	// Give it to [WithSince] in the next process, so that it reads only the later
	// part of the log. It is zero if the log was not read to its end, and in a log
	// without times.
	CompleteUntil time.Time `json:"completeUntil,omitzero"`
}

// Count returns the number of missed deliveries with one of the outcomes.
// Without outcomes it returns the number of all.
func (r Result) Count(outcomes ...Outcome) int {
	n := 0
	for i := range r.Missed {
		if len(outcomes) == 0 || slices.Contains(outcomes, r.Missed[i].Outcome) {
			n++
		}
	}
	return n
}

// Progress is the state of a run.
type Progress struct {
	// Examined counts the attempts that were read so far.
	Examined int
	// ToAsk is the number of deliveries that the run asks for. It is zero while
	// the log is being read.
	ToAsk int
	// Done counts those that it has asked for, with any outcome.
	Done int
	// WaitUntil is the end of a wait for the platform, or zero. Waits of less than
	// 15 seconds are not reported.
	WaitUntil time.Time
	// Reason says why it waits.
	Reason string
}

// completeUntil returns the value of the result's field. The log must never be
// cut between the attempts of a delivery that was not accepted, because their
// number would be wrong.
func completeUntil(started time.Time, timed bool, missed []Missed) time.Time {
	if !timed {
		return time.Time{}
	}
	until := started.Add(-logLag)
	var refused []Missed
	for _, m := range missed {
		if m.Outcome == Refused {
			refused = append(refused, m)
		} else if m.First.Before(until) {
			until = m.First
		}
	}
	slices.SortFunc(refused, func(x, y Missed) int { return y.Last.Compare(x.Last) })
	for _, m := range refused {
		if !m.Last.Before(until) && m.First.Before(until) {
			until = m.First
		}
	}
	return until
}
