package inbox

// Keys of the map that [Inbox.Faults] returns. Callbacks are listed under their
// option's name.
const (
	inStoring  = "storing"
	inHandling = "handling"
	inPruning  = "pruning"
	inRenewing = "renewing leases"

	inHandler   = "handler"
	inObserver  = "WithObserver"
	inTelemetry = "WithTelemetry"
	inSchedule  = "WithRetrySchedule"
)

// Faults returns how often application code or the Inbox's own work panicked or
// ended its goroutine with runtime.Goexit. It also counts how often a schedule
// did not answer in time. Faults do not stop the work. Each key is logged at
// most once a minute. The map is empty if there were no faults.
//
//	key                             code
//	"WithObserver" and the like     the value of that option
//	"handler"                       the function that handles deliveries
//	"queue", "storing",             the Inbox's own work
//	"handling", "pruning",
//	"renewing leases"
func (in *Inbox) Faults() map[string]uint64 {
	if in == nil || in.db == nil {
		return map[string]uint64{}
	}
	return in.faults.Counts()
}
