package payload

// Type is the kind of an [Event], such as "deploy.live": lower-case words of a-z, 0-9 and "_", joined by dots, at least
// two of them and at most 128 bytes in all. A platform may use types of its own beside the six that have constants
// here; they are carried through.
type Type string

// The six event types of the guide to deployment webhooks by Temps, in the order of a deployment's life.
const (
	// DeployStarted: a deployment is queued or begins to build.
	DeployStarted Type = "deploy.started"
	// BuildCompleted: the image is built, nothing is deployed yet.
	BuildCompleted Type = "build.completed"
	// HealthCheckPassed: the new container is ready for traffic.
	HealthCheckPassed Type = "health_check.passed"
	// DeployLive: traffic goes to the new container.
	DeployLive Type = "deploy.live"
	// DeployFailed: a stage failed; Event.Error says why.
	DeployFailed Type = "deploy.failed"
	// DeployRolledBack: an earlier version was restored; Event.PreviousVersion says which.
	DeployRolledBack Type = "deploy.rolled_back"
)

const maxTypeBytes = 128

// Known reports whether t is one of the six types above.
func (t Type) Known() bool {
	switch t {
	case DeployStarted, BuildCompleted, HealthCheckPassed, DeployLive, DeployFailed, DeployRolledBack:
		return true
	default:
		return false
	}
}

// wellFormed reports whether t has the form that the comment on Type describes.
func (t Type) wellFormed() bool {
	if len(t) > maxTypeBytes {
		return false
	}
	dots, start := 0, 0
	for i := range len(t) {
		switch c := t[i]; {
		case c == '.':
			if i == start {
				return false
			}
			dots, start = dots+1, i+1
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_':
		default:
			return false
		}
	}
	return dots > 0 && start < len(t)
}
