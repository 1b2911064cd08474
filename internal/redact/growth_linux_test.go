package redact_test

import (
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/redact"
)

// The time that a text takes grows with its length only, whatever it repeats.
// Sixteen times the length takes about 16 times as long, or 50 where the
// regular expressions are faster with a short text. It would take 256 times as
// long if it grew with the square.
//
// The test compares processor time of its own thread, so other work on the
// machine hardly counts. A virtual machine that is stopped for a moment counts,
// so a text is timed again and the least time decides.
func TestText_TimeGrowsWithTheLength(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, unit := range []string{
		"://", "://[", "a://b", "a://b/", "a://@", "a://b:c", "x://?a=1&", "a://u:p@", "a://b ", "a:", "a:b@", "@", "?a", "?a=", "?token=", "?token=1&",
		"?%25", "%25", "%253A%252F%252F", `:\/\/`, "a.", "\\",
	} {
		short, long := textTime(t, unit, 1<<12), textTime(t, unit, 1<<16)
		for range 20 {
			if long < 128*short {
				break
			}
			short, long = min(short, textTime(t, unit, 1<<12)), min(long, textTime(t, unit, 1<<16))
		}
		assert.Less(t, long, 128*short, "repeated %q", unit)
	}
}

// textTime returns the processor time for a text that repeats unit up to size
// bytes.
func textTime(t *testing.T, unit string, size int) time.Duration {
	text := "https://u:p@h.example/?token=1 " + strings.Repeat(unit, size/len(unit))
	before := threadTime(t)
	redact.Text(text)
	return threadTime(t) - before
}

// threadTime returns the processor time of the thread. Getrusage would count in
// ticks of several milliseconds.
func threadTime(t *testing.T) time.Duration {
	const clockThreadCPUTime = 3 // clock_gettime(2)
	var ts syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPUTime, uintptr(unsafe.Pointer(&ts)), 0)
	require.Zero(t, errno)
	return time.Duration(ts.Nano())
}
