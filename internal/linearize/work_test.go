package linearize

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5/pgconn"
)

// task is the work of one process in one history.
type task struct {
	Subject string // claims, ledger or publish
	Store   string // memory, sqlite, postgres or redis
	Address string // URL of the server, or the file for sqlite
	Name    string // of the history; no other one has the same keys
	Process int
	Clients int
	Calls   int           // of each client
	Pace    time.Duration // the mean time between two calls of a client
	Timeout time.Duration // of a call
	TTL     time.Duration // of completed deliveries
	Seed    uint64
}

// A subject is what is tested.
type subject struct {
	name string
	// open connects a process to the store. It returns a function that makes
	// the clients, and one that closes the store.
	open func(context.Context, task) (func(client) caller, func() error, error)
	// operations turns a history into operations of the model.
	operations func([]*call) ([]porcupine.Operation, error)
	model      func(task) porcupine.Model
}

// client is what the clients of all subjects have.
type client struct {
	task
	number  int
	journal *journal
	random  *rand.Rand
}

// caller makes one random call each time.
type caller func(ctx context.Context) fate

var subjects = []*subject{&claims, &ledger, &publish}

func subjectOf(name string) *subject {
	for _, s := range subjects {
		if s.name == name {
			return s
		}
	}
	return nil
}

// backoff is the time that a client waits after a call without an answer.
const backoff = 20 * time.Millisecond

// work lets the clients of a process make their calls. It returns when all have
// made them, or when ctx ends.
func work(ctx context.Context, t task, newCaller func(client) caller, write func(line)) {
	j := &journal{write: write}
	var clients sync.WaitGroup
	for i := range t.Clients {
		c := client{t, i, j, rand.New(rand.NewPCG(t.Seed, uint64(t.Process*clientsPerProcess+i)))}
		call := newCaller(c)
		clients.Go(func() {
			for made := 0; made < t.Calls && ctx.Err() == nil; {
				wait := time.Duration(c.random.Int64N(int64(2 * t.Pace)))
				f := call(ctx)
				if f != answered {
					wait = backoff
				}
				if f != refused {
					made++
				}
				pause(ctx, wait)
			}
		})
	}
	clients.Wait()
}

// pause waits, or returns when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// fateOf returns the fate of a call that ended with an error of the store.
func fateOf(err error) fate {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return refused // no statement was sent
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return refused
	}
	for _, text := range []string{
		"READONLY ", "MASTERDOWN ", "LOADING ", "NOREPLICAS ", // Redis
		"all sentinels specified in configuration are unreachable",
	} {
		if strings.Contains(err.Error(), text) {
			return refused
		}
	}
	return lost
}
