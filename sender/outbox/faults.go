package outbox

import (
	"context"

	"github.com/cenkalti/backoff/v4"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/contain/waits"
	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/sender"
)

// The names under which [Outbox.Faults] counts faults of the Outbox's own work.
// Those of callbacks are counted under the name of their option.
const (
	inLoading     = "loading"
	inRecording   = "recording"
	inDelivering  = "delivering"
	inMaintenance = "maintenance"
	inCallingBack = "calling back"

	inHook     = "WithHook"
	inSchedule = "WithSchedule"
	inProgress = "WithReplayProgress"
	inFormat   = "WithFormat"
)

// Faults returns how often a callback of the application, or the Outbox's own
// background work, has panicked or ended its goroutine (runtime.Goexit). Both
// are contained and logged at most once a minute for each name, and the work
// goes on.
//
// The keys are the names of options, such as "WithHook", and of the background
// work: "loading", "recording", "delivering", "maintenance" and "calling back".
// The faults of the options in [WithSender] are among them, see
// [sender.Sender.Faults]. The map is empty if there was no fault, which is what
// a healthy process shows.
func (o *Outbox) Faults() map[string]uint64 {
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

// contained is the application's schedule, and the platform's after a fault.
func (o *Outbox) contained(ctx context.Context, s sender.Schedule) sender.Schedule {
	return func() backoff.BackOff {
		return waits.New(ctx, o.faults, inSchedule, o.scheduleLimit, s, sender.Platform)
	}
}

// notify calls the hook with each notice.
func (o *Outbox) notify(ctx context.Context, all ...Notice) {
	for _, n := range all {
		if o.hook != nil {
			o.faults.Call(ctx, inHook, func() { o.hook(ctx, n) })
		}
	}
}
