//go:build unix

package peers_test

import (
	"syscall"
	"time"
)

// cpuTime is what this process has spent so far, in user and system mode. Unlike the clock on the wall it does not run on
// while other processes have the processor.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
