// Package leaktest fails a package's tests if goroutines that they started are
// still running at the end.
//
// Because of it the root module needs no dependency for this check:
//
//	func TestMain(m *testing.M) { leaktest.Main(m) }
package leaktest

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// grace is how long ending goroutines may take. Goroutines notice a closed
// connection or a stopped server with a short delay, which is longer on a busy
// machine. A leaked goroutine makes a failing run this much longer.
const grace = time.Minute

// Main runs the tests of a package and exits with their status. If they passed
// but left a goroutine behind, the status is 1.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if leaked := Leaked(grace); len(leaked) > 0 {
			fmt.Fprintf(os.Stderr, "leaktest: %d goroutine(s) outlived the tests:\n\n%s\n", len(leaked), strings.Join(leaked, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// Parallel sets the number of tests that run at the same time, unless -parallel
// does. Use it for packages whose tests mostly wait for other processes, and
// call it before [Main].
func Parallel(n int) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(strconv.Itoa(n))
	}
}

// Leaked returns the stacks of all goroutines, except the caller's, the
// runtime's and those of the testing package. It polls until there are no such
// goroutines or wait has passed.
func Leaked(wait time.Duration) []string {
	deadline := time.Now().Add(wait)
	for {
		leaked := running()
		if len(leaked) == 0 || time.Now().After(deadline) {
			return leaked
		}
		// the runtime has no event for the end of a goroutine
		time.Sleep(10 * time.Millisecond)
	}
}

func running() []string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	var out []string
	// The first stack is the caller's.
	for _, stack := range strings.Split(string(buf), "\n\n")[1:] {
		if !expected(stack) {
			out = append(out, stack)
		}
	}
	return out
}

// expected reports whether a goroutine belongs to the test binary itself rather
// than to a test.
func expected(stack string) bool {
	for _, of := range []string{
		"testing.(*M).",      // the timer of -timeout
		"testing.runFuzzing", // the coordinator of -fuzz
		"testing/internal/",  // its workers
		"internal/fuzz.",     //
		// started once by the first signal.Notify, never stopped
		"os/signal.signal_recv",
		"os/signal.loop",
		"runtime.ensureSigM",
	} {
		if strings.Contains(stack, of) {
			return true
		}
	}
	return false
}
