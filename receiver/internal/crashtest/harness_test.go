package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// fleet is a set of receiver processes on one listening socket, as behind a
// load balancer. A process that dies is started again.
type fleet struct {
	t      testing.TB
	config childConfig
	socket *os.File
	url    string

	mu        sync.Mutex
	instances []*exec.Cmd
	deaths    atomic.Int64
	stopping  atomic.Bool
	wait      sync.WaitGroup
}

func newFleet(t testing.TB, config childConfig, instances int) *fleet {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	socket, err := l.(*net.TCPListener).File()
	require.NoError(t, err)
	f := &fleet{
		t: t, config: config, socket: socket, url: "http://" + l.Addr().String() + "/webhooks/deploy",
		instances: make([]*exec.Cmd, instances),
	}
	// The parent never accepts. It keeps the socket open, so that a connection
	// waits for the next process.
	require.NoError(t, l.Close())
	for i := range instances {
		f.wait.Go(func() { f.keepAlive(i) })
	}
	t.Cleanup(f.stop)
	return f
}

// keepAlive runs instance i and restarts it when it dies.
func (f *fleet) keepAlive(i int) {
	text, err := json.Marshal(f.config)
	if err != nil {
		panic(err)
	}
	runtime.LockOSThread() // Pdeathsig refers to the thread that starts the process
	for !f.stopping.Load() {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childEnv+"="+string(text))
		cmd.ExtraFiles = []*os.File{f.socket}
		cmd.Stderr = os.Stderr
		servicetest.DieWithParent(cmd, syscall.SIGKILL)
		if err := f.start(i, cmd); err != nil {
			f.t.Errorf("starting a receiver: %v", err)
			return
		}
		err := cmd.Wait()
		f.deaths.Add(1)
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !f.stopping.Load() && (!ok || !status.Signaled() || status.Signal() != syscall.SIGKILL) {
			f.t.Errorf("a receiver ended without being killed: %v", err)
			return
		}
	}
}

func (f *fleet) start(i int, cmd *exec.Cmd) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopping.Load() {
		return nil
	}
	f.instances[i] = cmd
	return cmd.Start()
}

// kill ends one instance with SIGKILL.
func (f *fleet) kill(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if cmd := f.instances[i]; cmd != nil && cmd.Process != nil {
		_ = cmd.Process.Kill()
	}
}

func (f *fleet) stop() {
	f.stopping.Store(true)
	for i := range f.instances {
		f.kill(i)
	}
	f.wait.Wait()
	_ = f.socket.Close()
}

// stream sends count events from number first on, several at a time. It repeats
// each until it is acknowledged and returns the number of attempts.
func stream(ctx context.Context, t testing.TB, url string, secret signer.Secret, first, count int, p *progress) (attempts int64) {
	t.Helper()
	scheme, err := signer.NewStandard(secret)
	require.NoError(t, err)
	var tries atomic.Int64
	s, err := sender.New(
		sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")),
		sender.WithTimeout(5*time.Second),
		sender.WithMaxRetryAfter(time.Second),
		sender.WithSchedule(func() backoff.BackOff {
			b := backoff.NewExponentialBackOff()
			b.InitialInterval, b.MaxInterval, b.MaxElapsedTime = 20*time.Millisecond, 300*time.Millisecond, 0
			return b
		}),
		sender.WithObserver(func(context.Context, sender.Attempt) { tries.Add(1) }),
	)
	require.NoError(t, err)
	defer s.Close()
	next := make(chan int)
	var senders sync.WaitGroup
	for range 16 {
		senders.Go(func() {
			for i := range next {
				event := eventName(i)
				_, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL(url), Signer: scheme}, &payload.Event{
					Type: payload.DeployStarted, Timestamp: time.Now(), DeploymentID: event, DeliveryID: deliveryID(event), App: "api",
				})
				if err != nil {
					t.Errorf("%s was never acknowledged: %v", event, err)
				}
				p.ended.Add(1)
			}
		})
	}
	for i := range count {
		next <- first + i
	}
	close(next)
	senders.Wait()
	return tries.Load()
}

// progress counts the acknowledged events of a round.
type progress struct{ ended atomic.Int64 }

// await returns true when n events were acknowledged, or false when ctx ends.
func (p *progress) await(ctx context.Context, n int64) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for p.ended.Load() < n {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// killRandomly kills random instances until ctx ends. It waits for some events
// between two kills, so that even a slow machine makes progress.
func killRandomly(ctx context.Context, f *fleet, p *progress) {
	for p.await(ctx, p.ended.Load()+5+rand.Int64N(20)) {
		f.kill(rand.IntN(len(f.instances)))
	}
}

// tally is the journal's record of one event.
type tally struct {
	effects     int
	completions int            // completions that the process recorded before it died
	byProcess   map[string]int // number of effects
}

func count(t testing.TB, dir string) map[string]*tally {
	t.Helper()
	lines, err := readJournal(dir)
	require.NoError(t, err)
	tallies := make(map[string]*tally)
	for _, l := range lines {
		one := tallies[l.event]
		if one == nil {
			one = &tally{byProcess: make(map[string]int)}
			tallies[l.event] = one
		}
		switch l.what {
		case effect:
			one.effects++
			one.byProcess[l.process]++
		case completed:
			one.completions++
		}
	}
	return tallies
}

func describe(f *fleet, events int, attempts int64, twice int) string {
	return fmt.Sprintf("%s: %d events, %d attempts, %d processes killed, %d events took effect more than once", f.t.Name(), events, attempts, f.deaths.Load(), twice)
}
