package payload

// Status is the state of a deployment. The six statuses are those of
// Periscope's deployment webhook.
type Status string

// The statuses of a deployment. The last four are terminal.
const (
	StatusPending    Status = "pending"
	StatusInProgress Status = "in_progress"
	StatusSuccess    Status = "success"
	StatusFailure    Status = "failure"
	StatusCancelled  Status = "cancelled"
	StatusRolledBack Status = "rolled_back"
)

// Known reports whether s is one of the six statuses.
func (s Status) Known() bool { return s.stage() > 0 }

// Terminal reports whether the deployment has ended, that is, whether s is
// success, failure, cancelled or rolled_back.
func (s Status) Terminal() bool { return s.stage() >= stageOutcome }

// A deployment passes through these stages in order and may skip any of them.
const (
	stageNone = iota // the empty status of an unknown deployment
	stagePending
	stageInProgress
	stageOutcome    // success, failure or cancelled; there is only one outcome
	stageRolledBack // rolled back after any outcome
	stageUnknown    = -1
)

func (s Status) stage() int {
	switch s {
	case "":
		return stageNone
	case StatusPending:
		return stagePending
	case StatusInProgress:
		return stageInProgress
	case StatusSuccess, StatusFailure, StatusCancelled:
		return stageOutcome
	case StatusRolledBack:
		return stageRolledBack
	default:
		return stageUnknown
	}
}

// A Transition classifies a new status for a deployment whose current status is
// known.
type Transition int

// The kinds of transition. Only Legal changes the stored status.
const (
	// Illegal contradicts the current status, such as success after failure. It
	// also covers a status that is not one of the six. Keep the old status and
	// report the conflict.
	Illegal Transition = iota
	// Legal moves the deployment forward.
	Legal
	// Repeated is a duplicate of the current status.
	Repeated
	// Stale is an earlier status that arrived late, such as in_progress after
	// success. Acknowledge it and change nothing.
	Stale
)

// String returns the transition's name in lower case.
func (t Transition) String() string {
	switch t {
	case Legal:
		return "legal"
	case Repeated:
		return "repeated"
	case Stale:
		return "stale"
	default:
		return "illegal"
	}
}

// Transition classifies next for a deployment whose current status is s.
// Webhooks arrive late, twice and out of order, so call it before you overwrite
// a stored status. The empty status as s means that the deployment is not known
// yet.
//
//	s \ next     pending  in_progress success  failure  cancelled rolled_back
//	(none)       legal    legal       legal    legal    legal     legal
//	pending      repeated legal       legal    legal    legal     legal
//	in_progress  stale    repeated    legal    legal    legal     legal
//	success      stale    stale       repeated illegal  illegal   legal
//	failure      stale    stale       illegal  repeated illegal   legal
//	cancelled    stale    stale       illegal  illegal  repeated  legal
//	rolled_back  stale    stale       stale    stale    stale     repeated
//
// A deployment may skip stages, and any outcome can be rolled back. A second,
// different outcome is illegal, because a pipeline that runs again is another
// deployment and needs another ID. A status that is not one of the six is
// illegal on either side.
func (s Status) Transition(next Status) Transition {
	from, to := s.stage(), next.stage()
	switch {
	case from == stageUnknown || to == stageUnknown || to == stageNone:
		return Illegal
	case s == next:
		return Repeated
	case to > from:
		return Legal
	case to < from:
		return Stale
	default:
		return Illegal
	}
}

// CanBecome reports whether s.Transition(next) is [Legal].
func (s Status) CanBecome(next Status) bool { return s.Transition(next) == Legal }
