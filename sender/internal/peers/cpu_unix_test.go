//go:build unix

package peers_test

import (
	"syscall"
	"time"
)

// cpuTime is the processor time of this process so far, in user and system
// mode. Unlike the wall clock it stops while other processes have the
// processor.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
