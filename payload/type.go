package payload

// Type is the kind of an [Event], such as "deploy.live". It has at least two
// words joined by dots, each of the characters a-z, 0-9 and "_", and at most
// 128 bytes in total. A platform may use its own types in addition to the six
// constants. Decoding and encoding keep them.
type Type string

// The six event types of the guide to deployment webhooks by Temps, in the
// order of a deployment.
const (
	// DeployStarted reports that a deployment is queued or begins to build.
	DeployStarted Type = "deploy.started"
	// BuildCompleted reports that the image is built and nothing is deployed
	// yet.
	BuildCompleted Type = "build.completed"
	// HealthCheckPassed reports that the new container is ready for traffic.
	HealthCheckPassed Type = "health_check.passed"
	// DeployLive reports that traffic goes to the new container.
	DeployLive Type = "deploy.live"
	// DeployFailed reports that a stage failed. Event.Error gives the reason.
	DeployFailed Type = "deploy.failed"
	// DeployRolledBack reports that an earlier version was restored.
	// Event.PreviousVersion names it.
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

// wellFormed reports whether t has the format that the comment on Type
// describes.
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
