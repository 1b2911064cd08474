package deployments

import (
	"context"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
)

// The names under which [Endpoint.Faults] counts faults.
const (
	inLedger = "ledger"
	inLinker = "WithLinker"
	inHook   = "WithContradictionHook"
)

// hookLimit is how long an answer waits for the hook of contradictions.
const hookLimit = 5 * time.Second

// Faults returns how often code of the application has panicked, has ended its
// goroutine (runtime.Goexit) or has gone on after its time was over. All of it
// is contained, and what is on record is answered.
//
// The keys are "ledger", "WithLinker" and "WithContradictionHook", and those of
// [receiver.Receiver.Faults]. The map is empty if there was no fault.
func (e *Endpoint) Faults() map[string]uint64 {
	if e == nil || e.faults == nil {
		return map[string]uint64{}
	}
	counts := e.faults.Counts()
	for name, n := range e.receiver.Faults() {
		counts[name] += n
	}
	return counts
}

// call makes one call to the ledger or the linker. It does not wait longer than
// ctx allows: what a later answer says is not used.
func call[T any](ctx context.Context, faults *contain.Faults, name string, f func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	fault := contain.CallUntil(ctx, func() {
		value, err := f(ctx)
		done <- result{value, err}
	})
	if fault == nil {
		r := <-done
		return r.value, r.err
	}
	faults.Count(name)
	var none T
	// The value is not unwrapped, so that http.ErrAbortHandler does not cost
	// the answer.
	return none, fmt.Errorf("deployments: %s %v\n%s", name, fault, fault.Stack)
}
