package crashtest

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
	"github.com/deployhook/deployhook/receiver/otelreceiver/otelinbox"
	"github.com/deployhook/deployhook/receiver/otelreceiver/otelservice"
	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

var (
	faultFor = flag.Duration("fault.for", 2*time.Second, "how long each fault of a store lasts at least")
	faultAll = flag.Bool("fault.all", false, "inject every fault, and not one for each kind of store")
)

// readyStore is a store with a write check.
type readyStore interface {
	dedupe.Store
	Ready(ctx context.Context) error
}

// storeFault is a store, or an inbox, and a fault that can be injected and
// undone.
type storeFault struct {
	store        readyStore
	inbox        openInbox
	inject, undo func()
	timeout      time.Duration // of the store
}

type openInbox func(receiver.EventHandler, ...inbox.Option) (*inbox.Inbox, error)

// faultCase is one fault.
type faultCase struct {
	name string
	open func(t *testing.T) storeFault
	// says is in the log while the fault lasts.
	says string
	// accepts reports that deliveries are still handled. The store then gets any
	// time, so that a slow machine refuses none.
	accepts bool
	// down reports that the database of an inbox does not answer.
	down bool
	// long leaves the fault to -fault.all.
	long bool
}

func faultCases() []faultCase {
	all := []faultCase{
		{name: "Redis full", open: redisFault("1"), says: "Redis has reached its maxmemory; raise it"},
		{name: "Redis policy changed", open: redisFault("100mb", "allkeys-lru"), says: "set maxmemory-policy noeviction", accepts: true, long: true},
		{name: "PostgreSQL read-only", open: postgresReadOnly, says: "the database is read-only; connect to the primary"},
		{name: "PostgreSQL killed", open: postgresKilled, says: "check that the database server runs", long: true},
		{name: "PostgreSQL full", open: postgresFull, says: "free space on the database server's disk", long: true},
		{name: "SQLite locked", open: sqliteLocked, says: "another process holds the lock on the file", long: true},
		{name: "SQLite full", open: sqliteFull, says: "free space on the file's disk", long: true},
		{name: "SQLite deleted", open: sqliteDeleted, says: "the SQLite file was deleted or replaced"},
		{name: "inbox, PostgreSQL read-only", open: inboxOn(inboxReadOnly), says: "the database is read-only; connect to the primary", long: true},
		{name: "inbox, PostgreSQL killed", open: inboxOn(inboxKilled), says: "check that the database server runs", down: true, long: true},
		{name: "inbox, PostgreSQL full", open: inboxOn(inboxFull), says: "free space on the database server's disk", long: true},
		{name: "inbox, SQLite locked", open: inboxLocked, says: "another process holds the lock on the file", long: true},
		{name: "inbox, SQLite deleted", open: inboxDeleted, says: "the SQLite file was deleted or replaced", long: true},
	}
	return slices.DeleteFunc(all, func(c faultCase) bool { return c.long && !*faultAll })
}

// Each fault of a store turns readiness, shows in the metrics, fires the right
// alerts, costs a bounded number of log lines that say what to do, and loses
// nothing. The test prints a table. All faults take a minute or two:
//
//	go test -run TestStoreFaults -v . -args -fault.all -fault.for=30s
func TestStoreFaults(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	reports := map[string]*faultReport{}
	t.Run("each", func(t *testing.T) {
		for _, c := range faultCases() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				report := runFault(t, c)
				mu.Lock()
				defer mu.Unlock()
				reports[c.name] = report
			})
		}
	})
	t.Run("alerts", func(t *testing.T) {
		promtool := servicetest.Program(t, "promtool")
		for _, c := range faultCases() {
			if reports[c.name] != nil { // it has not failed or been skipped
				reports[c.name].checkAlerts(t, promtool)
			}
		}
	})
	table := "\n| fault | /readyz | lines/s | metric | alert | the sender saw, a second | events | lost |\n|---|---|---|---|---|---|---|---|\n"
	for _, c := range faultCases() {
		if r := reports[c.name]; r != nil {
			table += r.row()
		}
	}
	t.Log(table)
}

// faultReport is what a fault has shown.
type faultReport struct {
	faultCase

	turned, lasted  time.Duration
	lines           int
	answers         string
	sent            int
	healthy, broken [2]scrape // at the beginning and the end
	alerts          []string
}

func (r *faultReport) row() string {
	return fmt.Sprintf("| %s | 503 after %.1f s | %.1f | %s | %s | %s | %d | 0 |\n", r.name, r.turned.Seconds(), float64(r.lines)/r.lasted.Seconds(),
		strings.Join(r.metrics(), ", "), strings.Join(r.alerts, ", "), r.answers, r.sent)
}

// runFault sends events all the time, injects the fault and undoes it.
func runFault(t *testing.T, c faultCase) *faultReport {
	t.Helper()
	r := &faultReport{faultCase: c}
	f := c.open(t)
	f.timeout = time.Second
	if c.accepts {
		f.timeout = patience
	}
	s := newFaultService(t, f)
	traffic := startTraffic(t, s)
	require.Eventually(t, func() bool { return s.ready(t) == http.StatusOK }, patience, 10*time.Millisecond)
	r.healthy = traffic.scrapeHealthy()

	s.log.reset()
	traffic.reset()
	r.broken[0] = s.metrics.scrape(t)
	begun := time.Now()
	f.inject()
	require.Eventually(t, func() bool { return s.ready(t) == http.StatusServiceUnavailable }, patience, 10*time.Millisecond, "readiness turns")
	r.turned = time.Since(begun)
	require.Eventually(t, func() bool {
		text := s.log.String()
		return time.Since(begun) >= *faultFor && strings.Contains(text, c.says) && strings.Contains(text, `msg="service: not ready"`) &&
			(c.accepts || strings.Contains(text, refusedLine))
	}, patience, 10*time.Millisecond, "%s: the log does not say %q, that it is not ready, or that it refuses", c.name, c.says)
	r.broken[1] = s.metrics.scrape(t)
	r.lasted = time.Since(begun)
	r.lines, r.answers = s.log.lines(), traffic.answers(r.lasted.Seconds())
	text := s.log.String()
	f.undo()
	require.Eventually(t, func() bool { return s.ready(t) == http.StatusOK }, patience, 10*time.Millisecond, "readiness recovers")
	traffic.end()
	r.sent = traffic.acknowledged()
	require.Eventually(t, func() bool { return len(traffic.lost()) == 0 }, patience, 10*time.Millisecond, "acknowledged events that no handler has seen")

	if c.down {
		require.Contains(t, text, "inbox: listening for new jobs", "the queue logs to the same logger")
	}
	if c.accepts {
		require.NotContains(t, text, refusedLine)
	}
	if f.inbox == nil {
		require.LessOrEqual(t, float64(r.lines), 60+2*r.lasted.Seconds(), "a bounded number of lines:\n%s", text)
		return r
	}
	for message, n := range countMessages(text) {
		require.LessOrEqual(t, float64(n), 25+r.lasted.Seconds()/5, "a bounded number of lines with %s", message)
	}
	return r
}

// refusedLine is in the log line for a delivery that the store refused.
const refusedLine = "outcome=unavailable"

var messageOf = regexp.MustCompile(` msg=("[^"]*"|\S+)`)

// countMessages returns how often a log has each message.
func countMessages(text string) map[string]int {
	all := map[string]int{}
	for _, m := range messageOf.FindAllStringSubmatch(text, -1) {
		all[m[1]]++
	}
	return all
}

// faultLog counts lines.
type faultLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *faultLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(string(p), "level=INFO") {
		return len(p), nil // one line for each delivery that was handled
	}
	return l.text.Write(p)
}

func (l *faultLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *faultLog) lines() int { return strings.Count(l.String(), "\n") }

func (l *faultLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

// faultService is a receiving service with metrics.
type faultService struct {
	url     string
	secret  signer.Secret
	log     faultLog
	metrics *faultMetrics

	mu      sync.Mutex
	handled map[string]int
}

func newFaultService(t *testing.T, f storeFault) *faultService {
	t.Helper()
	s := &faultService{secret: signer.GenerateSecret(), handled: map[string]int{}, metrics: newFaultMetrics(t)}
	logger := slog.New(slog.NewTextHandler(&s.log, nil))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.log.String())
		}
	})
	h, ready := s.endpoint(t, f, logger)
	srv, err := service.New(h, service.WithLogger(logger), service.WithDrain(0), service.WithCheck("deliveries", ready),
		service.WithTelemetry(otelservice.Open(s.metrics.option)))
	require.NoError(t, err)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return s
}

// endpoint returns the handler of deliveries, and its check.
func (s *faultService) endpoint(t *testing.T, f storeFault, logger *slog.Logger) (http.Handler, func(context.Context) error) {
	t.Helper()
	scheme, err := signer.NewStandard(s.secret)
	require.NoError(t, err)
	if f.inbox != nil {
		in, err := f.inbox(s.handle, inbox.WithLogger(logger), inbox.WithStoreTimeout(f.timeout), inbox.WithTelemetry(otelinbox.Open(s.metrics.option)))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, in.Close()) })
		require.NoError(t, in.Start(context.Background()))
		h, err := in.Handler(scheme, source)
		require.NoError(t, err)
		return h, in.Ready
	}
	rcv, err := receiver.New(scheme, receiver.WithDedupe(f.store, source), receiver.WithLogger(logger), receiver.WithStoreTimeout(f.timeout),
		receiver.WithLease(time.Second), receiver.WithTelemetry(otelreceiver.Open(s.metrics.option)))
	require.NoError(t, err)
	return rcv.Events(s.handle), f.store.Ready
}

func (s *faultService) handle(_ context.Context, e *payload.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handled[e.DeploymentID]++
	return nil
}

func (s *faultService) ready(t *testing.T) int {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get(s.url + "/readyz")
	require.NoError(t, err)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// traffic is senders that repeat each event until it is acknowledged.
type traffic struct {
	t       *testing.T
	service *faultService
	stop    context.CancelFunc
	all     sync.WaitGroup

	mu       sync.Mutex
	acked    []string
	statuses map[string]int
}

const faultSenders = 32

func startTraffic(t *testing.T, service *faultService) *traffic {
	t.Helper()
	tr := &traffic{t: t, service: service, statuses: map[string]int{}}
	scheme, err := signer.NewStandard(service.secret)
	require.NoError(t, err)
	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")), sender.WithTimeout(patience),
		sender.WithMaxRetryAfter(100*time.Millisecond), sender.WithObserver(tr.observe),
		sender.WithSchedule(func() backoff.BackOff { return backoff.NewConstantBackOff(50 * time.Millisecond) }))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	tr.stop = cancel
	t.Cleanup(func() { cancel(); tr.all.Wait() })
	to := sender.Endpoint{URL: sender.NewURL(service.url + "/webhooks"), Signer: scheme}
	for i := range faultSenders {
		tr.all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				tr.send(s, to, eventName(i*1_000_000+n))
				time.Sleep(5 * time.Millisecond) // real servers: some thousand events a second
			}
		})
	}
	return tr
}

func (tr *traffic) send(s *sender.Sender, to sender.Endpoint, event string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	_, err := s.Send(ctx, to, &payload.Event{
		Type: payload.DeployStarted, Timestamp: time.Now(), DeploymentID: event, DeliveryID: deliveryID(event), App: "api",
	})
	if err != nil {
		tr.t.Errorf("%s was never acknowledged: %v", event, err)
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.acked = append(tr.acked, event)
}

func (tr *traffic) observe(_ context.Context, a sender.Attempt) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	name := fmt.Sprint(a.Status)
	if a.Status == 0 {
		name = string(a.Class)
	}
	tr.statuses[name]++
}

func (tr *traffic) acknowledged() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.acked)
}

func (tr *traffic) reset() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.statuses = map[string]int{}
}

// answers describes what the senders saw.
func (tr *traffic) answers(seconds float64) string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(tr.statuses)) {
		all = append(all, fmt.Sprintf("%s: %.0f", name, float64(tr.statuses[name])/seconds))
	}
	return strings.Join(all, ", ")
}

// end waits until each event is acknowledged.
func (tr *traffic) end() {
	tr.stop()
	tr.all.Wait()
}

// lost returns the acknowledged events that no handler has seen. An inbox
// handles them later.
func (tr *traffic) lost() (events []string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.service.mu.Lock()
	defer tr.service.mu.Unlock()
	for _, event := range tr.acked {
		if tr.service.handled[event] == 0 {
			events = append(events, event)
		}
	}
	return events
}

// scrapeHealthy scrapes twice, with deliveries in between that were all
// accepted at once.
func (tr *traffic) scrapeHealthy() (s [2]scrape) {
	tr.t.Helper()
	require.Eventually(tr.t, func() bool {
		tr.reset()
		s[0] = tr.service.metrics.scrape(tr.t)
		before := tr.acknowledged()
		require.Eventually(tr.t, func() bool { return tr.acknowledged() > before+20 }, patience, 10*time.Millisecond)
		s[1] = tr.service.metrics.scrape(tr.t)
		// A refusal is counted before the sender has read it.
		return tr.onlyAccepted() && refused(s) == 0
	}, patience, 10*time.Millisecond)
	return s
}

func (tr *traffic) onlyAccepted() bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for status := range tr.statuses {
		if !strings.HasPrefix(status, "2") {
			return false
		}
	}
	return true
}
