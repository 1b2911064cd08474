package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// patience is how long a process may use no CPU time at all. A mutant that
// leaves a lock locked waits forever.
const patience = 10 * time.Second

// watch calls hung when a process has been idle for too long. The returned
// channel is closed after the context has ended. Only Linux says how much CPU
// time another process has used. On other systems the limit of wall time ends
// the process.
func watch(ctx context.Context, pid int, hung func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		last, since := "", time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-ticker.C:
				switch cpu := cpuOf(pid); {
				case cpu == "" || cpu != last:
					last, since = cpu, now
				case now.Sub(since) > patience:
					hung()
					return
				}
			}
		}
	}()
	return done
}

// cpuOf returns the CPU time of a process as text, or "" if it is unknown.
func cpuOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The line is "pid (name) state …", and the name may contain any character.
	// User and system time are the 12th and 13th field after the name.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return ""
	}
	return fields[11] + " " + fields[12]
}
