package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// customer receives the events of the demonstration with a receiver.
type customer struct {
	listener net.Listener
	server   *http.Server
	handler  http.Handler
	calls    atomic.Int64

	mu   sync.Mutex
	got  []arrival
	came chan struct{} // buffered for one
}

type arrival struct {
	at    time.Time
	event *payload.Event
}

func newCustomer(ctx context.Context) (*customer, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &customer{listener: listener, came: make(chan struct{}, 1)}
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 5 * time.Second}
	return c, nil
}

func (c *customer) url() string { return "http://" + c.listener.Addr().String() + "/webhooks/deploy" }

// serve starts to receive events that are signed with the platform's secret.
func (c *customer) serve(text string) error {
	secret, err := signer.ParseSecret(text)
	if err != nil {
		return err
	}
	scheme, err := signer.NewStandard(secret)
	if err != nil {
		return err
	}
	store, err := dedupe.NewMemory()
	if err != nil {
		return err
	}
	c.server.RegisterOnShutdown(func() { _ = store.Close() }) // of a store in memory, which has nothing to lose
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"), receiver.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	c.handler = rcv.Events(c.on)
	go func() { _ = c.server.Serve(c.listener) }() // returns when the server is closed
	return nil
}

// ServeHTTP fails the first request, like a receiver that is being restarted,
// to show a second attempt.
func (c *customer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.calls.Add(1) == 1 {
		http.Error(w, "restarting", http.StatusServiceUnavailable)
		return
	}
	c.handler.ServeHTTP(w, r)
}

// on handles an event that is authentic, fresh and new.
func (c *customer) on(_ context.Context, e *payload.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, arrival{time.Now(), e})
	select {
	case c.came <- struct{}{}:
	default:
	}
	return nil
}

func (c *customer) arrivals() []arrival {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// awaitTime bounds the wait for the last events.
const awaitTime = time.Minute

// await waits for the wanted events. It returns the missing and unexpected
// events.
func (c *customer) await(ctx context.Context, wanted map[string][]payload.Type) []string {
	ctx, cancel := context.WithTimeout(ctx, awaitTime)
	defer cancel()
	for {
		problems := compare(c.arrivals(), wanted)
		if len(problems) == 0 {
			return nil
		}
		select {
		case <-c.came:
		case <-ctx.Done():
			return problems
		}
	}
}

func compare(got []arrival, wanted map[string][]payload.Type) (problems []string) {
	count := map[string]int{}
	for id, types := range wanted {
		for _, t := range types {
			count[id+" "+string(t)]++
		}
	}
	for _, a := range got {
		count[a.event.DeploymentID+" "+string(a.event.Type)]--
	}
	for what, n := range count {
		if n > 0 {
			problems = append(problems, what+" did not come")
		} else if n < 0 {
			problems = append(problems, what+" came too often")
		}
	}
	slices.Sort(problems)
	return problems
}

// print shows the events in the order of their arrival.
func (c *customer) print(w io.Writer, versions map[string]string) {
	fmt.Fprintf(w, "\nWhat the receiver got, verified:\n\n%-12s  %-3s %-20s %s\n", "AT", "", "EVENT", "SAYS")
	for _, a := range c.arrivals() {
		fmt.Fprintf(w, "%-12s  %-3s %-20s %s\n", a.at.Format("15:04:05.000"), versions[a.event.DeploymentID], a.event.Type, says(a.event))
	}
}

// says describes an event in a few words.
func says(e *payload.Event) string {
	switch e.Type {
	case payload.DeployStarted:
		return fmt.Sprintf("%s by %s: %s", e.Commit.SHA, e.Commit.Author, e.Commit.Message)
	case payload.BuildCompleted:
		return fmt.Sprintf("in %.1f s, %.1f MB, cache hit %t", *e.BuildDurationSeconds, *e.ImageSizeMB, *e.CacheHit)
	case payload.HealthCheckPassed:
		return fmt.Sprintf("%s answered %d in %.1f ms at check %d", e.HealthCheck.URL, *e.HealthCheck.StatusCode, *e.HealthCheck.ResponseTimeMS, *e.HealthCheck.Attempts)
	case payload.DeployLive:
		return fmt.Sprintf("at %s, instead of %s", e.URL, orNone(e.PreviousVersion))
	case payload.DeployRolledBack:
		return fmt.Sprintf("to %s: %s", e.Rollback.RestoredVersion, cut(e.Rollback.Reason))
	}
	return cut(e.Error)
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// cut shortens a text to one line.
func cut(s string) string {
	const room = 110
	out := make([]rune, 0, room)
	for _, r := range s {
		if r == '\n' || r == '\t' {
			r = ' '
		}
		if out = append(out, r); len(out) == room {
			return string(out[:room-1]) + "…"
		}
	}
	return string(out)
}

func (c *customer) close() { _ = c.server.Close() } // the demo is over
