package receiver

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/deployhook/deployhook/internal/contain"
)

// Keys of the map that [Receiver.Faults] returns.
const (
	inVerifier  = "verifier"
	inDecoder   = "decoder"
	inHandler   = "handler"
	inStore     = "WithDedupe"
	inObserver  = "WithObserver"
	inTelemetry = "WithTelemetry"
	inServing   = "serving"
	inRenewing  = "renewing leases"
)

// Faults returns how often application code panicked or ended its goroutine
// with runtime.Goexit. Such a fault never changes a decision that was already
// made, and the sender still gets its answer. The map is empty if there were no
// faults.
//
//	key                              code
//	"verifier", "decoder", "handler" values passed to New, Events, Records or Wrap
//	"WithObserver" and the like      the value of that option
//	"serving", "renewing leases"     the receiver's own work
func (rc *Receiver) Faults() map[string]uint64 {
	if rc == nil || rc.faults == nil {
		return map[string]uint64{}
	}
	return rc.faults.Counts()
}

// panicError is a contained panic. Its text has the panic value and the place
// where it occurred.
type panicError struct{ fault *contain.Fault }

func (e *panicError) Error() string {
	return fmt.Sprintf("receiver: %v\n%s", e.fault, e.fault.Stack)
}

// Unwrap finds an error that was the panic value, such as http.ErrAbortHandler.
func (e *panicError) Unwrap() error { return e.fault.Unwrap() }

// errGoexit is the result if a server goroutine ends before there is an answer.
var errGoexit = errors.New("receiver: the application's code ended the goroutine")

// respond writes the answer and flushes it, so that logging does not delay it.
func (rc *Receiver) respond(w http.ResponseWriter, r *http.Request, a answer, res *Result) {
	res.Status = a.status
	a.closes = a.closes && r.ProtoMajor < 2 // over HTTP/2 it would also close the other streams
	a.write(w)
	if errors.Is(res.Err, http.ErrAbortHandler) {
		return // the caller drops the connection
	}
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
		return
	}
	// An error means that the ResponseWriter cannot flush. The server then
	// sends the answer when the handler returns.
	_ = http.NewResponseController(w).Flush()
}

func (rc *Receiver) observe(ctx context.Context, res *Result) {
	if rc.observer != nil {
		rc.faults.Inline(ctx, inObserver, func() { rc.observer(ctx, *res) })
	}
}
