package deployments

import (
	"context"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
)

// Keys of the map that [Endpoint.Faults] returns.
const (
	inLedger = "ledger"
	inLinker = "WithLinker"
	inHook   = "WithContradictionHook"

	inDecoder = "WithIncidentDecoder"
)

// hookLimit is how long an answer waits for the contradiction hook.
const hookLimit = 5 * time.Second

// Faults returns how often application code panicked, ended its goroutine with
// runtime.Goexit, or continued after its time limit. Such a fault does not
// change the answer about a stored record. The map is empty if there were no
// faults.
//
//	key                      code
//	"ledger"                 the ledger
//	"WithLinker"             the linker
//	"WithContradictionHook"  the hook
//	others                   see [receiver.Receiver.Faults]
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

// call calls the ledger or the linker. It returns when ctx ends and ignores a
// result that comes later.
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
	// The value is not unwrapped. Otherwise http.ErrAbortHandler would drop the
	// answer.
	return none, fmt.Errorf("deployments: %s %v\n%s", name, fault, fault.Stack)
}
