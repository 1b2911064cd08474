//go:build unix

package linearize

import (
	"os"

	"golang.org/x/sys/unix"
)

// now returns the time in nanoseconds on a clock that all processes of the
// machine share and that nobody sets.
func now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // every Unix has this clock
	}
	return t.Nano()
}

// freeze stops a process until [thaw].
func freeze(p *os.Process) error { return p.Signal(unix.SIGSTOP) }

func thaw(p *os.Process) error { return p.Signal(unix.SIGCONT) }
