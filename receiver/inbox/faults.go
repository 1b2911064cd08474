package inbox

// The names under which [Inbox.Faults] counts faults. Those of callbacks are
// the names of their options.
const (
	inStoring  = "storing"
	inHandling = "handling"
	inPruning  = "pruning"
	inRenewing = "renewing leases"

	inHandler  = "handler"
	inObserver = "WithObserver"
	inSchedule = "WithRetrySchedule"
)

// Faults returns how often a callback of the application, or the Inbox's own
// work, has panicked or ended its goroutine (runtime.Goexit), and how often a
// schedule did not answer in time. All of it is contained and logged at most
// once a minute for each name, and the work goes on.
//
// The keys are the names of options, such as "WithObserver", "handler" for the
// function that deliveries are for, and "storing", "handling", "pruning" and
// "renewing leases" for the Inbox's own work. The map is empty if there was no
// fault.
func (in *Inbox) Faults() map[string]uint64 { return in.faults.Counts() }
