package outbox

import "context"

// The names under which [Outbox.Faults] counts faults of the Outbox's own work.
// Those of callbacks are counted under the name of their option.
const (
	inLoading     = "loading"
	inRecording   = "recording"
	inDelivering  = "delivering"
	inMaintenance = "maintenance"
	inCallingBack = "calling back"

	inHook = "WithHook"
)

// Faults returns how often a callback of the application, or the Outbox's own
// background work, has panicked or ended its goroutine (runtime.Goexit). Both are
// contained and logged at most once a minute for each name, and the work goes on.
//
// The keys are the names of options, such as "WithHook", and of the background
// work: "loading", "recording", "delivering", "maintenance" and "calling back".
// The map is empty if there was no fault, which is what a healthy process shows.
func (o *Outbox) Faults() map[string]uint64 { return o.faults.Counts() }

// notify calls the hook.
func (o *Outbox) notify(ctx context.Context, n Notice) {
	if o.hook != nil {
		o.faults.Call(ctx, inHook, func() { o.hook(ctx, n) })
	}
}
