// Package leaktest fails a package's tests when goroutines that they started are still running at the end.
//
// It exists so that the root module needs no dependency for the check:
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

// grace is how long goroutines that are already on their way out may take: closing a connection and
// stopping a server are seen by other goroutines a little later. A goroutine
// that leaks costs a failing run this long.
const grace = 15 * time.Second

// Main runs the tests of a package and exits: with the tests' own status if they failed, with 1 if they passed but
// left a goroutine behind.
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

// Parallel lets so many tests run at the same time, unless -parallel says how
// many. It is for packages whose tests wait for other processes most of the
// time, and is called before [Main].
func Parallel(n int) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(strconv.Itoa(n))
	}
}

// Leaked returns the stacks of all goroutines other than the caller's, the runtime's and the testing package's,
// polling until there is none or wait is over.
func Leaked(wait time.Duration) []string {
	deadline := time.Now().Add(wait)
	for {
		leaked := running()
		if len(leaked) == 0 || time.Now().After(deadline) {
			return leaked
		}
		time.Sleep(10 * time.Millisecond) // the runtime tells nobody that a goroutine ended
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
	// The first stack is the caller's own.
	for _, stack := range strings.Split(string(buf), "\n\n")[1:] {
		if !expected(stack) {
			out = append(out, stack)
		}
	}
	return out
}

// expected reports whether a goroutine belongs to the test binary itself rather than to a test.
func expected(stack string) bool {
	for _, of := range []string{
		"testing.(*M).",         // the alarm of -timeout
		"testing.runFuzzing",    // the coordinator of -fuzz
		"testing/internal/",     // its workers
		"internal/fuzz.",        //
		"os/signal.signal_recv", // started once by the first signal.Notify, never stopped
		"os/signal.loop",
		"runtime.ensureSigM",
	} {
		if strings.Contains(stack, of) {
			return true
		}
	}
	return false
}
