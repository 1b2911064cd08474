package sendertest

import (
	"time"

	"github.com/deployhook/deployhook/internal/samples"
	"github.com/deployhook/deployhook/payload"
)

// Types returns the types of event that package payload knows, in the order of
// a deployment.
func Types() []payload.Type { return samples.Types() }

// Event returns a valid event of that type. It has the members that a platform
// sends with the type, and its time is now. All samples are about the same
// deployment. Change what a test needs.
func Event(typ payload.Type) *payload.Event { return samples.Event(typ, time.Now()) }

// Events returns [Event] for each of the [Types].
func Events() (all []*payload.Event) {
	for _, typ := range Types() {
		all = append(all, Event(typ))
	}
	return all
}
