package deployments

import (
	"strings"

	"github.com/deployhook/deployhook/payload"
)

// Contradiction is a pair of deliveries with one deployment ID that cannot
// describe one deployment. They name different services, environments or
// commits. This happens when the jobs of a matrix share an ID.
type Contradiction struct {
	// Recorded is the deployment as it was recorded before the delivery.
	Recorded *payload.Deployment
	// Received is the deployment in the delivery.
	Received *payload.Deployment
	// Members has the JSON names of the members that differ.
	Members []string
}

// contradiction compares the members that must not change during a deployment.
// It ignores a member that is absent on one side, and a commit that abbreviates
// the other one.
func contradiction(old, d *payload.Deployment) *Contradiction {
	var members []string
	for _, member := range []struct{ name, old, new string }{
		{"service", old.Service, d.Service},
		{"environment", old.Environment, d.Environment},
	} {
		if member.old != "" && member.new != "" && member.old != member.new {
			members = append(members, member.name)
		}
	}
	n := min(len(old.CommitSHA), len(d.CommitSHA))
	if !strings.EqualFold(old.CommitSHA[:n], d.CommitSHA[:n]) {
		members = append(members, "commitSha")
	}
	if members == nil {
		return nil
	}
	return &Contradiction{Recorded: old, Received: d, Members: members}
}
