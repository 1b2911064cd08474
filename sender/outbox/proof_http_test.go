package outbox_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

// pages are the first pages of the management API that TestProofHTTP reads.
type pages struct {
	t     *testing.T
	base  string
	names []string
	paths map[string]string
	took  map[string][]time.Duration
}

// TestProofHTTP reads the first page of every list of the management API, next
// to publishers as in TestProofReading. The log has 2,000 deliveries with an
// attempt each, or 1,000,000 with -outbox.rows 1000000. With -outbox.strict and
// at least 100,000 deliveries, each page is read 200 times, and the 99th
// percentile is at most 50 ms on PostgreSQL and 80 ms on SQLite.
func TestProofHTTP(t *testing.T) {
	proveOnEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		rows := given(*rowCount, 2000)
		log := w.fillLog(t, o, rows)
		p := newPages(t, o, w.fillRest(t, o, log, rows))
		hold, rounds := *strict && rows >= 100_000, 2
		if hold {
			rounds = 200
		}
		ctx, stop := context.WithCancel(t.Context())
		var publishers sync.WaitGroup
		publishers.Go(func() {
			for ctx.Err() == nil {
				publishFor(t, o, log, 100*time.Millisecond)
			}
		})
		p.read(rounds)
		stop()
		publishers.Wait()
		p.report(hold, w.path != "")
	})
}

// filledLog is a log with attempts, replays, endpoints and apps, so that every
// list has more than one page.
type filledLog struct {
	*fullLog
	delivery, replay string // with an attempt; that scheduled many
}

// fillRest makes an attempt of each delivery behind the outbox's back, and what
// the other lists show.
func (w *world) fillRest(t *testing.T, o *outbox.Outbox, log *fullLog, n int) *filledLog {
	app, ctx := o.App(log.app), t.Context()
	tested, _, err := app.TestEndpoint(ctx, log.endpoint)
	require.NoError(t, err)
	w.copyAttempt(t, tested.ID)
	var filter outbox.DeliveryFilter
	for i := range outbox.DefaultPageLimit + 5 {
		require.NoError(t, o.RegisterApp(ctx, fmt.Sprintf("app %03d", i)))
		filter = outbox.DeliveryFilter{DeploymentID: fmt.Sprintf("dep_%d", i), States: []outbox.State{outbox.Delivered}}
		_, err := app.ReplayRange(ctx, filter)
		require.NoError(t, err)
	}
	for i := range outbox.DefaultMaxEndpoints - 1 {
		c := endpointAt(fmt.Sprintf("http://127.0.0.1:1/%d", i))
		c.Events = []string{string(payload.DeployRolledBack)}
		create(t, app, c)
	}
	filter = outbox.DeliveryFilter{States: []outbox.State{outbox.Failed}, Until: logTime(n / 2)}
	many, err := app.ReplayRange(ctx, filter)
	require.NoError(t, err)
	if w.pool != nil {
		w.exec(t, `ANALYZE`)
	}
	return &filledLog{fullLog: log, delivery: tested.ID, replay: many.ID}
}

// logTime is when delivery i of a log was created.
func logTime(i int) time.Time { return time.UnixMicro(1760000000000000 + int64(i)*1000) }

// copyAttempt copies the attempt of a delivery for every other delivery.
func (w *world) copyAttempt(t *testing.T, delivery string) {
	names, values := w.columns(t, "outbox_attempt", map[string]string{"delivery": "d.id"})
	w.exec(t, `INSERT INTO `+w.table("outbox_attempt")+` (`+names+`) SELECT `+values+` FROM `+w.table("outbox_attempt")+` o, `+
		w.table("outbox_delivery")+` d WHERE o.delivery = '`+delivery+`' AND d.id <> '`+delivery+`'`)
}

// newPages mounts the API for an operator and lists its pages.
func newPages(t *testing.T, o *outbox.Outbox, log *filledLog) *pages {
	h, err := api.New(o, func(*http.Request) (api.Access, error) { return api.Access{Operator: true, Actor: "test"}, nil },
		api.WithLogger(testLogger(t)))
	require.NoError(t, err)
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	p := &pages{t: t, base: server.URL, paths: map[string]string{}, took: map[string][]time.Duration{}}
	app := "/apps/" + log.app
	add := func(name, path string, query ...string) {
		values := url.Values{}
		for i := 0; i < len(query); i += 2 {
			values.Set(query[i], query[i+1])
		}
		p.names = append(p.names, name)
		p.paths[name] = path + "?" + values.Encode()
	}
	list := app + "/deliveries"
	add("deliveries", list)
	add("deliveries, later page", list, "cursor", log.later)
	add("deliveries by endpoint", list, "endpoint", log.endpoint)
	add("deliveries by event", list, "event_id", log.event)
	add("deliveries by type", list, "type", string(payload.DeployLive))
	add("deliveries by a rare type", list, "type", string(payload.BuildCompleted))
	add("deliveries by deployment", list, "deployment_id", log.deployment)
	add("deliveries by state", list, "state", "failed,canceled")
	add("deliveries by a rare state", list, "state", "superseded")
	add("deliveries since", list, "since", logTime(given(*rowCount, 2000)/2).Format(time.RFC3339))
	add("deliveries until", list, "until", logTime(given(*rowCount, 2000)/2).Format(time.RFC3339))
	add("deliveries by replay", list, "replay", log.replay)
	add("deliveries of all apps", "/deliveries")
	add("deliveries of all apps by state", "/deliveries", "state", "failed")
	add("attempts", list+"/"+log.delivery)
	add("endpoints", app+"/endpoints")
	add("missed", app+"/endpoints/"+log.endpoint+"/missed", "since", time.Now().Add(-time.Hour).Format(time.RFC3339))
	add("replays", app+"/replays")
	add("replay", app+"/replays/"+log.replay)
	add("events", app+"/events")
	add("events by type", app+"/events", "type", "deploy.*")
	add("events by a rare type", app+"/events", "type", string(payload.BuildCompleted))
	add("apps", "/apps")
	add("event types", "/event-types")
	add("stats of an app", app+"/stats")
	add("stats of an endpoint", app+"/endpoints/"+log.endpoint+"/stats")
	add("stats of all", "/stats")
	return p
}

// read reads each page some times, at most 100 a second. The first round fills
// caches and does not count.
func (p *pages) read(rounds int) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for round := range rounds + 1 {
		for _, name := range p.names {
			<-tick.C
			begin := time.Now()
			if !assert.NoError(p.t, get(p.t.Context(), client, p.base+p.paths[name]), name) {
				return
			}
			if round > 0 {
				p.took[name] = append(p.took[name], time.Since(begin))
			}
		}
	}
}

func get(ctx context.Context, client *http.Client, at string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return err
}

// report logs how long the pages took, and bounds them if hold is set.
func (p *pages) report(hold, sqlite bool) {
	bound := 50 * time.Millisecond
	if sqlite {
		bound = 80 * time.Millisecond
	}
	for _, name := range p.names {
		require.NotEmpty(p.t, p.took[name], name)
		q := quantilesOf(p.took[name])
		p.t.Logf("%-31s %5d calls, %v", name, len(p.took[name]), q)
		if hold {
			assert.LessOrEqual(p.t, q.p99, bound, name)
		}
	}
}
