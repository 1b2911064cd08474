package sim

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// ErrKilled is the cause with which the context of a killed process ends, and
// the error of everything that the process does afterwards.
var ErrKilled = errors.New("sim: the process was killed")

// Process is a simulated process. It is a name for goroutines that can be cut
// off from the rest of the world at one moment. Keep its memory in variables
// that its main function makes, so that a restart begins without them.
type Process struct {
	// Name is the process's name. Restarts keep it.
	Name string
	// Clock is the process's clock, which the machine's restart does not set.
	Clock *Clock

	world  *World
	ctx    context.Context
	cancel context.CancelCauseFunc
	dead   atomic.Bool
	atEnd  []func()
}

// Start starts a process. main makes what it consists of and returns. It may
// call Go, Listen, AtEnd and the other methods of the process.
func (w *World) Start(name string, clock *Clock, main func(p *Process)) *Process {
	ctx, cancel := context.WithCancelCause(context.Background())
	p := &Process{Name: name, Clock: clock, world: w, ctx: ctx, cancel: cancel}
	w.mu.Lock()
	w.processes = append(w.processes, p)
	w.mu.Unlock()
	main(p)
	return p
}

// Context ends with ErrKilled when the process dies. A real process has no such
// signal, so check Alive in everything that reaches a store.
func (p *Process) Context() context.Context { return p.ctx }

// Alive reports whether the process runs. Anything that the process shares with
// others, such as a store, must refuse the calls of a dead one.
func (p *Process) Alive() bool { return !p.dead.Load() }

// Go starts a goroutine that the process consists of.
func (p *Process) Go(f func()) { go f() }

// Sleep waits, unless the process dies first.
func (p *Process) Sleep(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.ctx.Done():
		return ErrKilled
	}
}

// AtEnd adds a function that releases goroutines of the process. It runs when
// the process is already cut off from the network, so it changes nothing in the
// rest of the world.
func (p *Process) AtEnd(f func()) { p.atEnd = append(p.atEnd, f) }

// Listen listens at an address. The listener closes when the process dies. If
// several processes listen at one address, the network spreads the connections
// over them, as a load balancer does.
func (p *Process) Listen(address string) (net.Listener, error) {
	return p.world.Net.listen(p, address)
}

// DialContext connects to an address. It has the type of
// http.Transport.DialContext.
func (p *Process) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	return p.world.Net.dial(ctx, p, address)
}

// Kill kills the process. From that moment it reaches neither the network nor,
// if the stores ask Alive, any store. Its goroutines then end.
func (p *Process) Kill() {
	if p.Alive() {
		p.world.Fault("kill")
		p.world.Log("%s is killed", p.Name)
	}
	p.end()
}

// Exit ends a process in order, after it has closed what it consists of.
func (p *Process) Exit() { p.end() }

func (p *Process) end() {
	if p.dead.Swap(true) {
		return
	}
	p.world.Net.cutOff(p)
	p.cancel(ErrKilled)
	for _, f := range p.atEnd {
		f()
	}
}
