package deployments

import (
	"strings"

	"github.com/deployhook/deployhook/payload"
)

// Contradiction is two deliveries that have one deployment ID and can't be about
// one deployment: they name different services, environments or commits. The legs
// of a matrix do that if they share an ID.
type Contradiction struct {
	// Recorded is what was on record before the delivery.
	Recorded *payload.Deployment
	// Received is what the delivery says.
	Received *payload.Deployment
	// Members are the JSON names of the members that differ.
	Members []string
}

// contradiction compares what must not change during a deployment. A member that
// is absent on one side contradicts nothing, and neither does a commit that
// abbreviates the other.
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
