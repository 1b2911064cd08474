// Package callbacktest tests how a package handles an application's callback
// that panics, ends its goroutine or hangs.
//
// [Run] compares the cases of a test with the options in the package's source.
// Every option that takes a callback must have a case.
package callbacktest

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Kind is a way in which a callback fails to return.
type Kind string

// The kinds of faults.
const (
	Panics Kind = "panics"
	Exits  Kind = "exits" // ends its goroutine with runtime.Goexit
	Hangs  Kind = "hangs" // hangs until the test ends
)

// Fault is the fault of the callback under test.
type Fault struct {
	Kind  Kind
	calls atomic.Int64
	*gate
}

type gate struct {
	entered, end chan struct{}
	enter, leave sync.Once
}

func newGate() *gate { return &gate{entered: make(chan struct{}), end: make(chan struct{})} }

// Happen causes the fault. The callback calls it. It does not return, or
// returns only after Release.
func (f *Fault) Happen() {
	f.calls.Add(1)
	f.enter.Do(func() { close(f.entered) })
	switch f.Kind {
	case Panics:
		panic("injected")
	case Exits:
		runtime.Goexit()
	case Hangs:
		<-f.end
	}
}

// Calls returns how often the callback was called.
func (f *Fault) Calls() int { return int(f.calls.Load()) }

// Entered returns a channel that is closed when the callback is called.
func (f *Fault) Entered() <-chan struct{} { return f.entered }

// Release lets hanging calls return, now and later. The end of the test has the
// same effect.
func (f *Fault) Release() { f.leave.Do(func() { close(f.end) }) }

// Reset prepares f for the test t, which may run in a testing/synctest bubble.
func (f *Fault) Reset(t *testing.T) {
	f.gate = newGate()
	t.Cleanup(f.Release)
}

// Outlives runs do, whose callback has the fault, and returns its result. If
// the callback hangs, do must not return before the release.
func Outlives[T any](t *testing.T, f *Fault, do func() T) T {
	t.Helper()
	done := make(chan T, 1)
	go func() {
		defer close(done)
		done <- do()
	}()
	if f.Kind == Hangs {
		select {
		case <-done:
			t.Fatal("did not wait for the callback")
		case <-f.Entered():
		}
		select {
		case <-done:
			t.Fatal("did not wait for the callback")
		default:
		}
		f.Release()
	}
	result, returned := <-done
	if !returned {
		t.Fatal("the callback ended its caller's goroutine")
	}
	return result
}

// Run runs each case once with each kind of fault. The key of a case is the
// name of an option. For other callbacks it is a name that does not begin with
// With. A case makes the callback call Happen, and asserts the documented
// behavior.
//
// The test fails if a callback option of the package in dir has no case, if a
// case has no option, or if a case did not call its callback.
func Run(t *testing.T, dir string, cases map[string]func(t *testing.T, f *Fault)) {
	t.Helper()
	options, err := Options(dir)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, name := range options {
		known[name] = true
		if cases[name] == nil {
			t.Errorf("%s takes a callback and has no case", name)
		}
	}
	for name, test := range cases {
		if strings.HasPrefix(name, "With") && !known[name] {
			t.Errorf("%s is no option that takes a callback", name)
		}
		for _, kind := range []Kind{Panics, Exits, Hangs} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				t.Parallel()
				f := &Fault{Kind: kind}
				f.Reset(t)
				test(t, f)
				// Wait for the call, because some callbacks run last.
				for over := time.Now().Add(time.Minute); f.Calls() == 0; time.Sleep(time.Millisecond) {
					if time.Now().After(over) {
						t.Fatal("the callback was not called")
					}
				}
			})
		}
	}
}
