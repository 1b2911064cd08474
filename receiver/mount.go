package receiver

import (
	"log/slog"
	"net/http"
	"time"
)

// mount returns the handler for c. problem describes invalid arguments. Methods
// that return a handler cannot report an error. With a problem, or on a
// Receiver that [New] did not make, the handler answers every request with 503.
// The log line says what to fix.
func (rc *Receiver) mount(c consumer, problem error) http.Handler {
	switch {
	case rc == nil || rc.verifier == nil:
		stand := &Receiver{config: config{logger: slog.Default()}}
		return stand.misconfigured(configError("the Receiver was not made with New; check the error of New"))
	case problem != nil:
		return rc.misconfigured(problem)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rc.serve(w, r, c) })
}

func (rc *Receiver) misconfigured(err error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		a := unavailableAnswer()
		a.closes = r.ProtoMajor < 2 // the body was not read
		a.write(w)
		rc.report(r, &Result{Outcome: Unavailable, Status: a.status, Duration: time.Since(start), Err: err})
	})
}

// successStatus is safe to call on a nil Receiver.
func (rc *Receiver) successStatus() int {
	if rc == nil {
		return http.StatusOK
	}
	return rc.success
}
