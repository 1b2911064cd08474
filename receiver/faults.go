package receiver

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/deployhook/deployhook/internal/contain"
)

// The names under which [Receiver.Faults] counts faults.
const (
	inVerifier = "verifier"
	inDecoder  = "decoder"
	inHandler  = "handler"
	inStore    = "WithDedupe"
	inObserver = "WithObserver"
	inServing  = "serving"
	inRenewing = "renewing leases"
)

// Faults returns how often code of the application has panicked or ended its
// goroutine (runtime.Goexit) while it was called. All of it is contained: what
// was decided about a delivery stays, and the sender gets its answer.
//
// The keys are "verifier", "decoder" and "handler" for what the Receiver was
// made and mounted with, the names of options, such as "WithObserver", and
// "serving" and "renewing leases" for the Receiver's own work. The map is empty
// if there was no fault.
func (rc *Receiver) Faults() map[string]uint64 {
	if rc == nil || rc.faults == nil {
		return map[string]uint64{}
	}
	return rc.faults.Counts()
}

// panicError is a contained panic: the value in its text, and where it came
// from.
type panicError struct{ fault *contain.Fault }

func (e *panicError) Error() string {
	return fmt.Sprintf("receiver: %v\n%s", e.fault, e.fault.Stack)
}

// Unwrap finds errors that were panicked with, http.ErrAbortHandler among them.
func (e *panicError) Unwrap() error { return e.fault.Unwrap() }

// errGoexit is the result where a goroutine of the server ends before there is
// an answer.
var errGoexit = errors.New("receiver: the application's code ended the goroutine")

// respond writes the answer and sends it, so that it does not wait for what
// follows.
func (rc *Receiver) respond(w http.ResponseWriter, r *http.Request, a answer, res *Result) {
	res.Status = a.status
	a.closes = a.closes && r.ProtoMajor < 2 // over HTTP/2 it would end the other streams as well
	a.write(w)
	if errors.Is(res.Err, http.ErrAbortHandler) {
		return // the connection will be dropped
	}
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
		return
	}
	// An error means that the ResponseWriter can't, and the server sends the
	// answer later.
	_ = http.NewResponseController(w).Flush()
}

// observe calls the observer.
func (rc *Receiver) observe(ctx context.Context, res *Result) {
	if rc.observer != nil {
		rc.faults.Inline(ctx, inObserver, func() { rc.observer(ctx, *res) })
	}
}
