//go:build linux && (amd64 || arm64)

package database

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/simulation/disk"
	"github.com/deployhook/deployhook/internal/simulation/sim"
)

// faults are what happens to the file operations of one process.
type faults struct {
	world *world
	name  string
	crash func()

	mu       sync.Mutex
	released chan struct{}
	once     sync.Once
	over     bool
	kind     disk.Kind
	until    time.Time
	err      disk.Error
	counted  bool // the fault has taken effect
	crashIn  int  // operations of the kind until a crash; 0: none
}

func newFaults(w *world, name string) *faults {
	return &faults{world: w, name: name, released: make(chan struct{}), over: w.isCalm()}
}

// release ends all faults of the process.
func (f *faults) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	f.once.Do(func() { close(f.released) })
}

// fail lets operations of a kind fail, or hang, for a time.
func (f *faults) fail(kind disk.Kind, err disk.Error, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kind, f.err, f.until, f.counted = kind, err, time.Now().Add(d), false
}

// crashAt lets the process crash at an operation.
func (f *faults) crashAt(kind disk.Kind, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kind, f.crashIn, f.until, f.counted = kind, n, time.Time{}, true
}

// hook decides about an operation.
func (f *faults) hook(op disk.Op) disk.Fault {
	f.mu.Lock()
	if f.over || op.Kind != f.kind {
		f.mu.Unlock()
		return disk.Fault{}
	}
	if f.crashIn > 0 {
		f.crashIn--
		now := f.crashIn == 0
		f.mu.Unlock()
		if now {
			f.world.Fault("disk: crash at " + kinds[op.Kind])
			f.world.async(f.crash)
		}
		return disk.Fault{Crash: now}
	}
	left, err := time.Until(f.until), f.err
	if left <= 0 || err == hang && readsRows() {
		f.mu.Unlock()
		return disk.Fault{}
	}
	first := !f.counted
	f.counted = true
	f.mu.Unlock()
	if first {
		f.world.Fault("disk: " + names[err] + " at " + kinds[op.Kind])
	}
	if err != hang {
		return disk.Fault{Err: err}
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.released:
	}
	return disk.Fault{}
}

var kinds = map[disk.Kind]string{
	disk.Open: "open", disk.Read: "read", disk.Write: "write", disk.Sync: "sync", disk.Begin: "begin", disk.End: "commit",
}

// readsRows reports whether this goroutine reads the rows of a statement. A
// statement outside a transaction that changes rows and returns them commits
// with the last one. Package database/sql holds a mutex meanwhile, for which
// another goroutine waits if the statement's context ends. Then the bubble's
// clock would stand still.
func readsRows() bool {
	callers := make([]uintptr, 100)
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers)])
	for {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, "database/sql.(*Rows).") {
			return true
		}
		if !more {
			return false
		}
	}
}

// hang stands for an operation that takes as long as the fault does.
const hang disk.Error = -1

var names = map[disk.Error]string{disk.Busy: "busy", disk.Full: "full", disk.IO: "I/O error", hang: "hang"}

// planFaults plans crashes, restarts and faults of disks and the network.
func (w *world) planFaults() {
	r := w.Rand("faults")
	w.Net.Disturb(sim.Even(r.Float64() * 0.25))
	all := w.programs()
	for range r.IntN(10) {
		at, n := between(r, time.Second, active), all[r.IntN(len(all))]
		name, do := w.newFault(r, n)
		w.Plan(at, n.name+": "+name, func() {
			if p := n.running(); p != nil {
				do(p)
			}
		})
	}
}

// newFault draws a fault of a process.
func (w *world) newFault(r *rand.Rand, n *node) (name string, do func(p *process)) {
	down, short := between(r, time.Second, 10*time.Second), between(r, 100*time.Millisecond, 3*time.Second)
	long, count := between(r, time.Second, 15*time.Second), 1+r.IntN(20)
	at := []disk.Kind{disk.Read, disk.Write, disk.Sync, disk.Begin, disk.End}[r.IntN(5)]
	switch r.IntN(8) {
	case 0:
		return "killed", func(p *process) { p.crash(); n.restart(down) }
	case 1, 2:
		return "crash at " + kinds[at], func(p *process) {
			p.faults.crashAt(at, count)
			n.restart(down)
		}
	case 3:
		return "stops and starts", func(p *process) {
			w.async(func() {
				w.Cover("process: stopped")
				if err := p.close(); err != nil {
					w.Log("%s: Close: %v", n.name, err)
				}
				n.restart(down)
			})
		}
	case 4:
		return "busy", func(p *process) { p.faults.fail(disk.Begin, disk.Busy, long) }
	case 5:
		return "disk full", func(p *process) { p.faults.fail(disk.Write, disk.Full, long) }
	case 6:
		kind := []disk.Kind{disk.Read, disk.Write, disk.Sync, disk.Open}[r.IntN(4)]
		return "I/O errors", func(p *process) { p.faults.fail(kind, disk.IO, long) }
	}
	kind := []disk.Kind{disk.Begin, disk.Sync}[r.IntN(2)]
	return "hangs", func(p *process) { p.faults.fail(kind, hang, short) }
}
