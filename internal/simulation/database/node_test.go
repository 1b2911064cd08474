//go:build linux && (amd64 || arm64)

package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/deployhook/deployhook/internal/simulation/disk"
	"github.com/deployhook/deployhook/internal/simulation/sim"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

const (
	outboxFile = "outbox.db"
	// attemptTimeout bounds an attempt.
	attemptTimeout = 5 * time.Second
	breakerPause   = 4 * time.Second
	breakerMax     = 16 * time.Second
)

// waits are the waits of the schedule that endpoints have.
var waits = [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second, 8 * time.Second}

// schedule makes seven attempts over about half a minute.
func schedule() backoff.BackOff { return &steps{} }

type steps struct{ n int }

func (s *steps) NextBackOff() time.Duration {
	if s.n == len(waits) {
		return backoff.Stop
	}
	s.n++
	return waits[s.n-1]
}

func (s *steps) Reset() { s.n = 0 }

// node is a machine's program, which is started again after a crash.
type node struct {
	world *world
	name  string
	file  string
	run   func(p *process, path string) error // opens and starts the product

	mu       sync.Mutex
	tries    int // starts so far
	starting bool
	process  *process // nil while it is down
}

// process is one run of a node's program.
type process struct {
	node    *node
	sim     *sim.Process
	files   *disk.Process
	faults  *faults
	product product
	started time.Time
	outbox  *outbox.Outbox
	ledger  *sqlledger.Ledger
	db      *sql.DB // the application's own connection to the same file
	dead    bool    // protected by the node's mutex
}

// running returns the process that runs, or nil.
func (n *node) running() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process
}

// start starts the program, unless it runs or is being started.
func (n *node) start() error {
	n.mu.Lock()
	if n.starting || n.process != nil {
		n.mu.Unlock()
		return nil
	}
	n.starting = true
	n.tries++
	p := &process{node: n, faults: newFaults(n.world, n.name)}
	name := fmt.Sprintf("%s-%d", n.name, n.tries)
	n.mu.Unlock()
	err := p.begin(name)
	n.mu.Lock()
	n.starting = false
	dead := p.dead
	if err == nil && !dead {
		n.process = p
	}
	n.mu.Unlock()
	if err == nil && dead {
		p.cut()
		return errDown
	}
	return err
}

func (p *process) begin(name string) (err error) {
	w := p.node.world
	if p.files, err = w.disk.NewProcess(name, p.faults.hook); err != nil {
		return err
	}
	p.faults.crash = p.crash
	w.Start(p.node.name, sim.NewClock(), func(s *sim.Process) { p.sim = s })
	if err := p.open(); err != nil {
		p.sim.Kill()
		p.files.Crash()
		p.files.Bury()
		return err
	}
	p.started = time.Now()
	w.Log("%s runs", p.node.name)
	return nil
}

func (p *process) open() (err error) {
	path := p.files.Path(p.node.file)
	if p.db, err = openOwn(path); err != nil {
		return err
	}
	if err := p.node.run(p, path); err != nil {
		return errors.Join(err, p.db.Close())
	}
	return nil
}

// runOutbox opens and starts an outbox.
func (w *world) runOutbox(p *process, path string) error {
	ctx := context.Background()
	key, err := outbox.NewSealingKey("sim", []byte("0123456789abcdefghijklmnopqrstuv"))
	if err != nil {
		return err
	}
	o, err := outbox.OpenSQLite(ctx, path, w.options(key)...)
	if err != nil {
		return err
	}
	if found := sim.UseDialer(senderOf(o), p.sim.DialContext); found == 0 {
		return errors.Join(errors.New("the sender has no transports"), o.Close())
	}
	if err := o.Start(ctx); err != nil {
		return errors.Join(err, o.Close())
	}
	p.outbox, p.product = o, o
	return nil
}

func (w *world) options(key outbox.SealingKey) []outbox.Option {
	opts := []outbox.Option{
		outbox.WithSealingKeys(key), outbox.WithLogger(w.logger()),
		outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("10.0.0.0/8")), sender.WithTimeout(attemptTimeout)),
		outbox.WithMaxTimeout(attemptTimeout), outbox.WithStopTimeout(attemptTimeout),
		outbox.WithBreaker(3, breakerPause, breakerMax), outbox.WithSchedule("steps", schedule),
	}
	if w.ordering {
		opts = append(opts, outbox.WithOrdering())
	}
	return opts
}

// checkFaults looks for panics that the product has contained.
func (p *process) checkFaults() {
	counted := p.product.Faults()
	if len(counted) > 0 {
		p.node.world.Violate("%s contained panics: %v", p.node.name, counted)
	}
}

// product is an outbox or an inbox.
type product interface {
	io.Closer
	Faults() map[string]uint64
}

// senderOf returns the sender of an outbox, which has no option for a network
// that is not the machine's.
func senderOf(o *outbox.Outbox) *sender.Sender {
	return (*sender.Sender)(reflect.ValueOf(o).Elem().FieldByName("sender").UnsafePointer())
}

// openOwn opens the file as an application does that has tables of its own in
// it.
func openOwn(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(path)+"?_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_txlock=immediate")
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// down takes the process from its node. It returns false if the node does not
// have it, which is so after another call and while it starts.
func (p *process) down() bool {
	n := p.node
	n.mu.Lock()
	defer n.mu.Unlock()
	p.dead = true
	if n.process != p {
		return false
	}
	n.process = nil
	return true
}

// crash kills the process. What it has on disk stays.
func (p *process) crash() {
	if p.down() {
		p.cut()
	}
}

// cut cuts a process off and ends its goroutines.
func (p *process) cut() {
	p.files.Crash()
	p.faults.release()
	p.sim.Kill()
	p.node.world.async(func() {
		time.Sleep(time.Millisecond) // of the bubble: until no statement runs
		p.files.Bury()
		_ = p.product.Close() // it can't reach its file any more
		p.checkFaults()
		_ = p.db.Close()
	})
}

// restart starts the node again after a time.
func (n *node) restart(after time.Duration) {
	n.world.async(func() {
		time.Sleep(after)                             // of the bubble
		for n.running() == nil && !n.world.isCalm() { // afterwards, heal starts it
			err := n.start()
			if err == nil {
				n.world.Cover("process: restarted")
				return
			}
			n.world.Log("%s does not start: %v", n.name, err)
			time.Sleep(time.Second) // of the bubble
		}
	})
}

// close stops the process as an orderly shutdown does.
func (p *process) close() error {
	p.faults.release()
	if !p.down() {
		return nil
	}
	err := errors.Join(p.product.Close(), p.db.Close())
	p.checkFaults()
	p.sim.Exit()
	return err
}
