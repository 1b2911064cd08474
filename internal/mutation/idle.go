package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// watch calls hung when a process has been idle for longer than patience. A
// mutant that leaves a lock locked waits forever. The returned channel is
// closed after the context has ended. Only Linux says what another process
// does. On other systems the limit of wall time ends the process.
func watch(ctx context.Context, pid int, patience time.Duration, hung func()) <-chan struct{} {
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
				case cpu == "" || cpu != last || runnable(pid):
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

// runnable reports whether a thread of a process waits for a CPU or a disk. On
// a loaded machine that may take seconds.
func runnable(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		_, state, _ := bytes.Cut(text, []byte(") "))
		if len(state) > 0 && (state[0] == 'R' || state[0] == 'D') {
			return true
		}
	}
	return false
}
