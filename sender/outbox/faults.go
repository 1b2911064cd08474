package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/sender"
)

// The names under which [Outbox.Faults] counts faults of the Outbox's own work.
// Those of callbacks are counted under the name of their option.
const (
	inLoading     = "loading"
	inRecording   = "recording"
	inPacing      = "pacing"
	inDelivering  = "delivering"
	inMaintenance = "maintenance"
	inWaking      = "waking"
	inReplaying   = "replaying"
	inCounting    = "counting"
	inPlacing     = "placing"

	inHook      = "WithHook"
	inTelemetry = "WithTelemetry"
	inSchedule  = "WithSchedule"
	inProgress  = "WithReplayProgress"
	inFormat    = "WithFormat"
)

// Faults returns how often a callback of the application, or the Outbox's own
// background work, has panicked or ended its goroutine (runtime.Goexit). Both
// are contained and logged at most once a minute for each name, and the work
// goes on.
//
// The keys are the names of options, such as "WithHook", and of the background
// work: "queue", "loading", "recording", "pacing", "delivering", "maintenance",
// "waking", "replaying", "counting" (of [Stats]) and "placing" (of
// [App.Events]). The faults of the options
// in [WithSender] are among them, see [sender.Sender.Faults]. The map is empty
// if there was no fault, which is what a healthy process shows.
func (o *Outbox) Faults() map[string]uint64 {
	if o == nil || o.db == nil {
		return map[string]uint64{}
	}
	counts := o.faults.Counts()
	for name, n := range o.sender.Faults() {
		if name == "Endpoint.BodyFormat" {
			name = inFormat
		}
		counts[name] += n
	}
	return counts
}

// answers reports whether a schedule can be asked.
func answers(s sender.Schedule) bool {
	var b backoff.BackOff
	return s != nil && contain.Call(func() { b = s() }) == nil && !nilable.IsNil(b)
}

// notifier calls the hook of the application.
type notifier struct {
	hook   func(context.Context, Notice)
	faults *contain.Faults
}

// notify calls the hook with each notice.
func (n *notifier) notify(ctx context.Context, all ...Notice) {
	for _, notice := range all {
		if n.hook != nil {
			n.faults.Call(ctx, inHook, func() { n.hook(ctx, notice) })
		}
	}
}

const (
	// maxBatch is the number of deliveries that are read or written in one
	// statement or transaction.
	maxBatch = 256
	// batchTimeout bounds one batch of reads or writes.
	batchTimeout = 15 * time.Second
)

// newBatcher combines concurrent calls into batches, of which do runs one at a
// time. It returns a result for each item, in their order. Its faults are
// counted under the given name. A batch gets batchTimeout. If it fails, its
// items are tried one by one and get as much again.
func newBatcher[I, O any](faults *contain.Faults, name string, do func(context.Context, []I) ([]O, error)) *sqldb.Combiner[I, O] {
	return &sqldb.Combiner[I, O]{
		Run: do, Most: maxBatch, Width: 1, Timeout: 2 * batchTimeout, Alone: notTimeout, Faults: faults, In: name,
	}
}

// notTimeout lets the items of a failed batch be tried one by one, so that one
// which the database refuses does not fail the others. A database that did not
// answer in time is not asked again for each item.
func notTimeout(err error) bool { return !errors.Is(err, context.DeadlineExceeded) }
