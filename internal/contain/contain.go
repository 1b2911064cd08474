// Package contain limits the effect of a fault in an application's callback, or
// in a background loop of this repository, to the call in which it happened.
//
// A fault is a panic, or the end of the goroutine (runtime.Goexit, which
// t.FailNow also calls). Each fault is counted under the name of the callback
// or loop. It is logged at most once a minute for each name.
//
// A deferred function stops a panic at no cost, but nothing stops
// runtime.Goexit on the same goroutine. [Faults.Call] therefore runs the
// callback on a new goroutine and waits for it, which takes about as long as
// writing a log line. [Faults.Inline] stays on the caller's goroutine. Use it
// on hot paths whose deferred functions complete the work.
package contain

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/loglimit"
)

const (
	// logEvery is the time between two log lines for faults of one name.
	logEvery = time.Minute
	// restartAfter is the pause before a loop that had a fault runs again.
	restartAfter = time.Second
	// grace is how long a callback may run after its context has ended.
	grace    = 100 * time.Millisecond
	maxValue = 500     // bytes of a panic's text
	maxStack = 4 << 10 // bytes of a stack
)

// Fault describes a contained call that did not return.
type Fault struct {
	// Value is the value of the panic. It is nil if there was no panic.
	Value any
	// Stack is the stack of the panic.
	Stack []byte

	late bool
}

// Late reports whether the caller stopped waiting for the call, see
// [CallUntil].
func (f *Fault) Late() bool { return f.late }

// Error describes the fault without its stack.
func (f *Fault) Error() string {
	switch {
	case f.late:
		return "did not return in time"
	case f.Value == nil:
		return "ended its goroutine"
	}
	return fmt.Sprintf("panicked: %.*s", maxValue, text(f.Value))
}

// Unwrap returns the value of the panic if it was an error.
func (f *Fault) Unwrap() error {
	err, _ := f.Value.(error)
	return err
}

// Discreet returns the fault of a callback that handles secrets. Its text
// contains only the type of the panic's value, unless the runtime created the
// value.
func (f *Fault) Discreet() *Fault {
	if _, ok := f.Value.(runtime.Error); ok || f.Value == nil {
		return f
	}
	return &Fault{Value: fmt.Sprintf("a %T", f.Value), Stack: f.Stack}
}

// text formats the value. The value's own methods may panic, which package fmt
// contains.
func text(value any) string { return fmt.Sprint(value) }

func panicked(value any) *Fault {
	stack := debug.Stack()
	return &Fault{Value: value, Stack: stack[:min(len(stack), maxStack)]}
}

// Call runs f on a new goroutine and waits for it. It returns nil if f
// returned.
func Call(f func()) *Fault {
	done := make(chan *Fault, 1)
	go run(f, done)
	return <-done
}

func run(f func(), done chan<- *Fault) {
	fault := &exited
	defer func() {
		if value := recover(); value != nil {
			fault = panicked(value)
		}
		done <- fault
	}()
	f()
	fault = nil
}

// These are shared, so that a call without a fault allocates nothing.
var (
	exited = Fault{}
	late   = Fault{late: true}
)

// Inline runs f on the caller's goroutine and contains a panic. It returns nil
// if f returned. After runtime.Goexit it does not return.
func Inline(f func()) (fault *Fault) {
	defer func() {
		if value := recover(); value != nil {
			fault = panicked(value)
		}
	}()
	f()
	return nil
}

// CallUntil is like [Call], but stops waiting shortly after ctx ends. A
// callback that follows its context returns by then. Any other callback
// continues on its goroutine, so it must not write to anything that the caller
// reads after a fault.
func CallUntil(ctx context.Context, f func()) *Fault {
	done := make(chan *Fault, 1)
	go run(f, done)
	select {
	case fault := <-done:
		return fault
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case fault := <-done:
		return fault
	case <-timer.C:
		return &late
	}
}

// Faults counts and logs the faults of one component. Create it with [New]. All
// methods are safe for concurrent use.
type Faults struct {
	component string
	handler   slog.Handler

	lines *loglimit.Limiter

	mu     sync.Mutex
	counts map[string]uint64
}

// New returns a counter that logs to the application's handler. The component
// begins each line. A nil handler logs nothing.
func New(component string, handler slog.Handler) *Faults {
	if handler == nil {
		handler = slog.DiscardHandler
	}
	return &Faults{component: component, handler: handler, lines: loglimit.New(1, logEvery), counts: map[string]uint64{}}
}

// Counts returns the number of faults so far, by the name of the callback or
// loop. Without faults it is empty.
func (f *Faults) Counts() map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.counts)
}

// Call runs callback on a new goroutine, waits for it, and reports a fault. It
// returns nil if callback returned.
func (f *Faults) Call(ctx context.Context, name string, callback func()) *Fault {
	fault := Call(callback)
	if fault != nil {
		f.Report(ctx, name, fault)
	}
	return fault
}

// CallUntil is [Faults.Call] with the time limit of the function [CallUntil].
func (f *Faults) CallUntil(ctx context.Context, name string, callback func()) *Fault {
	fault := CallUntil(ctx, callback)
	if fault != nil {
		f.Report(ctx, name, fault)
	}
	return fault
}

// Inline runs callback on the caller's goroutine and reports a fault. It stops
// a panic. After runtime.Goexit it does not return, and the caller's deferred
// functions run.
func (f *Faults) Inline(ctx context.Context, name string, callback func()) (fault *Fault) {
	returned := false
	defer func() {
		if fault = ended(returned, recover()); fault != nil {
			f.Report(ctx, name, fault)
		}
	}()
	callback()
	returned = true
	return nil
}

// Guard is [Faults.Inline] for a caller that logs the fault itself.
func (f *Faults) Guard(name string, callback func()) (fault *Fault) {
	returned := false
	defer func() {
		if fault = ended(returned, recover()); fault != nil {
			f.Count(name)
		}
	}()
	callback()
	returned = true
	return nil
}

func ended(returned bool, value any) *Fault {
	switch {
	case returned:
		return nil
	case value != nil:
		return panicked(value)
	}
	return &exited
}

// Run runs a loop until ctx ends. It reports a fault, waits for a second and
// runs the loop again. It does not run a loop again that returned.
func (f *Faults) Run(ctx context.Context, name string, loop func(context.Context)) {
	for f.Call(ctx, name, func() { loop(ctx) }) != nil {
		pause := time.NewTimer(restartAfter)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// Report counts a fault, and logs it unless another fault of that name was
// logged within the last minute. It also contains faults of the log handler.
func (f *Faults) Report(ctx context.Context, name string, fault *Fault) {
	f.Count(name)
	left, allowed := f.lines.Allow(name)
	if !allowed {
		return
	}
	line := slog.NewRecord(time.Now(), slog.LevelError, f.component+": contained a fault", 0)
	line.AddAttrs(slog.String("in", name), slog.String("fault", fault.Error()), slog.Uint64(loglimit.LeftOut, left))
	if len(fault.Stack) > 0 {
		line.AddAttrs(slog.String("stack", string(fault.Stack)))
	}
	failed := Call(func() {
		if f.handler.Enabled(ctx, line.Level) {
			_ = f.handler.Handle(ctx, line) // a log that fails has no other log
		}
	})
	if failed != nil && name != LoggerName {
		f.Count(LoggerName)
	}
}

// Count counts a fault that the caller logs itself.
func (f *Faults) Count(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[name]++
}
