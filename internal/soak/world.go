package main

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/sender/outbox"
)

// world is everything of one store.
type world struct {
	config  *config
	place   place
	servers *servers
	proxy   *proxy
	fleet   *fleet
	ledger  *ledger
	outbox  *outbox.Outbox // of the operators. It does not deliver
	inbox   *inbox.Inbox   // to look at; nil with Redis
	apps    []*app         // the outbox's database and, if it has its own, the inbox's
	faults  *faults
	recorder
	closers []func() error
	began   time.Time
	print   func(format string, args ...any)
	log     *os.File
	stop    context.CancelFunc // ends the run early

	mu         sync.Mutex
	violations []string
	missed     int // events that were sent as missed at the end
}

// maxViolations is how many violations are kept. One cause has many effects.
const maxViolations = 20

// fail takes a violation, and ends the run.
func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if len(w.violations) < maxViolations {
		w.violations = append(w.violations, text)
		w.print("%s: violation: %s", w.place.Store, text)
	}
	w.stop()
}

// note logs what may happen while there are faults.
func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.log, "%s %s\n", time.Now().Format(time.RFC3339Nano), fmt.Sprintf(format, args...))
}

// found returns the violations.
func (w *world) found() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.violations
}

// runWorld runs a world until ctx ends and everything is delivered. The error
// says why it could not be run.
func runWorld(ctx context.Context, c *config, store string, print func(string, ...any)) (*result, error) {
	run, stop := context.WithCancel(ctx)
	defer stop()
	index := uint64(slices.Index(storeNames(), store)) // the same faults with and without the other stores
	w := &world{config: c, place: place{Store: store}, print: print, stop: stop, began: time.Now()}
	o := &operators{
		world: w, random: rand.New(rand.NewPCG(c.seed, 2*index+1)), ids: map[string]string{}, secrets: secrets{}, calls: map[string]int{},
	}
	base := context.WithoutCancel(ctx) // an interrupt ends the run, but not the checks
	if err := w.open(base, o, rand.New(rand.NewPCG(c.seed, 2*index))); err != nil {
		return nil, errors.Join(err, w.close())
	}
	w.fleet.start()
	w.warmUp(run)
	w.began = time.Now()
	w.live(run, o)
	drained := w.finish(base, o)
	w.fleet.stop()
	w.settle(base)
	sum := w.summarize(o, drained)
	return sum, errors.Join(w.write(), w.close())
}

// open starts the servers and creates the tables and the endpoints.
func (w *world) open(ctx context.Context, o *operators, random *rand.Rand) (err error) {
	w.defers(func() error { return os.RemoveAll(w.place.Dir) })
	if w.place.Dir, err = os.MkdirTemp("", "soak"); err != nil {
		return err
	}
	if w.log, err = os.Create(filepath.Join(w.config.out, w.place.Store+".log")); err != nil {
		return err
	}
	w.defers(w.log.Close)
	w.place.Key = make([]byte, 32)
	_, _ = crand.Read(w.place.Key) // it never fails
	if w.servers, err = startServers(ctx, w.config, &w.place); err != nil {
		return err
	}
	w.defers(func() error { return w.servers.close(ctx) })
	if w.proxy, err = newProxy(); err != nil {
		return err
	}
	w.defers(func() error { w.proxy.close(); return nil })
	if err := w.openStores(ctx); err != nil {
		return err
	}
	w.ledger = newLedger(w.fail)
	w.fleet = &fleet{
		task: task{place: w.place, Rate: w.config.rate / 2, Every: w.config.every, Broken: w.config.broken},
		logs: w.config.out, heard: w.hear, failed: w.fail,
	}
	w.faults = newFaults(w, w.config.faults, random)
	return o.createEndpoints(ctx)
}

func (w *world) openStores(ctx context.Context) error {
	quiet := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o, closeOutbox, err := w.place.openOutbox(ctx, quiet)
	if err != nil {
		return err
	}
	w.outbox = o
	w.defers(closeOutbox)
	files := []string{w.place.outboxFile()}
	if w.place.Redis == "" {
		never := func(context.Context, *payload.Event) error { return errors.New("this inbox is not started") }
		in, closeInbox, err := w.place.openInbox(ctx, never, quiet)
		if err != nil {
			return err
		}
		w.inbox = in
		w.defers(closeInbox)
		if w.place.Postgres == "" {
			files = append(files, w.place.inboxFile())
		}
	}
	for _, file := range files {
		own, err := w.place.openApp(file)
		if err != nil {
			return err
		}
		w.defers(own.Close)
		if err := own.setUp(ctx); err != nil {
			return err
		}
		w.apps = append(w.apps, own)
	}
	return nil
}

// defers calls f when the world is closed, before what was deferred earlier.
func (w *world) defers(f func() error) { w.closers = append(w.closers, f) }

func (w *world) close() error {
	var errs []error
	for i := len(w.closers) - 1; i >= 0; i-- {
		errs = append(errs, w.closers[i]())
	}
	return errors.Join(errs...)
}

// hear takes what a process reports.
func (w *world) hear(m *member, r report) {
	switch {
	case r.Kind == isMemory:
		if m.steady {
			w.remember(m.role, r)
		}
	case r.Kind == isReady && m.role == receiving:
		w.proxy.add(r.Addr)
		m.onEnd(func() { w.proxy.remove(r.Addr) })
	default:
		w.ledger.take(r)
	}
}

// warmUp waits until all processes work and the first event is published, which
// takes long on a busy machine.
func (w *world) warmUp(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); ctx.Err() == nil; {
		if w.ledger.totals().acked > 0 && w.fleet.isReady() {
			return
		}
		if time.Since(begun) > patience {
			w.fail("the processes did not start and publish an event within %v; their logs are in %s", patience, w.config.out)
			return
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// live lets everything happen until ctx ends.
func (w *world) live(ctx context.Context, o *operators) {
	ctx, cancel := context.WithTimeout(ctx, w.config.duration)
	defer cancel()
	var wait sync.WaitGroup
	wait.Go(func() { w.faults.run(ctx, w.config.faultEvery) })
	wait.Go(func() { o.run(ctx) })
	wait.Go(func() { w.sampleAll(ctx) })
	wait.Wait()
}
