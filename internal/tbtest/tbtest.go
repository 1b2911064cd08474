// Package tbtest tests helpers for tests. It runs them with a testing.TB whose
// failures do not fail the test.
package tbtest

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// Failures runs f, as a test of its own, and returns the texts of its failures.
// It runs cleanups before it returns.
func Failures(t testing.TB, f func(t testing.TB)) []string {
	t.Helper()
	tb := &tb{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer tb.clean()
		f(tb)
	}()
	<-done
	return tb.failures
}

type tb struct {
	testing.TB // for what is not overridden

	mu       sync.Mutex
	failures []string
	cleanups []func()
}

func (t *tb) failed(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, text)
}

func (t *tb) clean() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

func (t *tb) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *tb) Error(args ...any) { t.failed(fmt.Sprint(args...)) }

func (t *tb) Errorf(format string, args ...any) { t.failed(fmt.Sprintf(format, args...)) }

func (t *tb) Fatal(args ...any) {
	t.failed(fmt.Sprint(args...))
	runtime.Goexit()
}

func (t *tb) Fatalf(format string, args ...any) {
	t.failed(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

func (t *tb) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failures) > 0
}
