package outbox

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// try runs a job without a queue.
func (w *worker) try(ctx context.Context, id string, job int64) jobdb.Next {
	return w.Work(ctx, jobdb.Claim{Ref: id, Job: job})
}

// A job makes an attempt only if its delivery is pending and due, still belongs
// to this job, and the endpoint accepts the event.
func TestWorker_Job(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  string // to what there is
		attempt bool
		want    State
		waits   bool
	}{
		"due":                 {``, true, Pending, true},
		"another job's":       {`UPDATE {schema}outbox_delivery SET job = job + 1`, false, Pending, false},
		"delivered":           {`UPDATE {schema}outbox_delivery SET state = 'delivered'`, false, Delivered, false},
		"canceled":            {`UPDATE {schema}outbox_delivery SET state = 'canceled'`, false, Canceled, false},
		"pruned":              {`DELETE FROM {schema}outbox_delivery`, false, "", false},
		"not due":             {`UPDATE {schema}outbox_delivery SET next_at = next_at + 60000000`, false, Pending, true},
		"the endpoint is off": {`UPDATE {schema}outbox_endpoint SET state = 'disabled'`, false, Canceled, false},
		"the endpoint left":   {`DELETE FROM {schema}outbox_endpoint`, false, Canceled, false},
		"breaker is open":     {``, false, Pending, true},
		"sealed otherwise":    {`UPDATE {schema}outbox_endpoint SET keys = header`, false, Pending, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			insideEach(t, func(t *testing.T, o *inside) {
				o.endpoint("shop", 0)
				id := o.publishOne("shop")
				job := o.loaded(id).job
				switch {
				case name == "breaker is open":
					o.exec(`UPDATE {schema}outbox_endpoint SET breaker_open_until = ?`, micros(time.Now().Add(time.Minute)))
				case c.change != "":
					o.exec(c.change)
				}
				next := o.worker.try(t.Context(), id, job)
				_, waits := next.Waits()
				require.Equal(t, c.waits, waits)
				require.NoError(t, next.Err())
				if c.want == "" {
					return
				}
				d := o.delivery(id)
				require.Equal(t, c.want, d.State)
				require.Equal(t, c.attempt, d.Attempts == 1)
			})
		})
	}
}

// The endpoint is changed during an attempt, which is then answered with 410.
// The delivery ends, but the endpoint is not disabled.
func TestWorker_Late410(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		d := o.loaded(o.publishOne("shop"))
		_, err := o.App("shop").UpdateEndpoint(t.Context(), e, EndpointUpdate{Description: new("changed")})
		require.NoError(t, err)
		gone := &sender.Attempt{Outcome: sender.Gone, Status: 410, Start: time.Now()}
		require.Equal(t, jobdb.Finished(), o.worker.conclude(t.Context(), d, sender.Platform, gone))
		require.Equal(t, EndpointActive, o.shown(e).State)
		require.Equal(t, Failed, o.delivery(d.id).State)
		require.Equal(t, jobdb.Finished(), o.worker.conclude(t.Context(), o.loaded(o.publishOne("shop")), sender.Platform, gone))
		require.Equal(t, EndpointDisabled, o.shown(e).State)
	})
}

// An attempt that reached the endpoint is recorded, even if the job's time is
// up.
func TestWorker_RecordsAfterTheJobsContext(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		d := o.loaded(o.publishOne("shop"))
		over, cancel := context.WithCancel(t.Context())
		cancel()
		require.Equal(t, jobdb.Finished(), o.worker.conclude(over, d, sender.Platform, &sender.Attempt{Outcome: sender.Delivered, Status: 200, Start: time.Now()}))
		require.Equal(t, Delivered, o.delivery(d.id).State)
	})
}

// An attempt that this process interrupted says nothing about the endpoint. It
// does not open the breaker, and it releases its permit. The same holds for a
// panic.
func TestWorker_AttemptCutOffIsInconclusive(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		d := o.loaded(o.publishOne("shop"))
		to, err := o.worker.targets.get(t.Context(), d, time.Now())
		require.NoError(t, err)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		require.Equal(t, sender.Canceled, o.worker.attempt(over, o.permit(d), to.to, d).Outcome)
		working := to.to.Signer
		to.to.Signer = broken{}
		a := o.worker.attempt(t.Context(), o.permit(d), to.to, d)
		require.Equal(t, sender.ClassSigner, a.Class)
		require.Equal(t, sender.Failed, a.Outcome)
		require.Zero(t, newResult(d, sender.Platform, &a, time.Now()).failingSince)
		to.to.Signer = working
		require.Equal(t, sender.ClassConnect, o.worker.attempt(t.Context(), o.permit(d), to.to, d).Class)
		p, _, err := o.limiter.Admit(t.Context(), o.worker.request(d))
		require.NoError(t, err)
		require.Nil(t, p, "a failure opens the breaker")
	}, WithBreaker(1, time.Minute, time.Minute), WithMaxConcurrency(1))
}

// An endpoint that was down and now aborts a delivery is up again. The breaker
// closes, so that others are attempted.
func TestWorker_AbortClosesTheBreaker(t *testing.T) {
	t.Parallel()
	control := WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")), sender.WithDeliveryControl())
	insideEach(t, func(t *testing.T, o *inside) {
		status := http.StatusInternalServerError
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if status != http.StatusInternalServerError {
				w.Header().Set("Webhook-Delivery", "abort-message")
			}
			w.WriteHeader(status)
		}))
		defer server.Close()
		_, _, err := o.App("shop").CreateEndpoint(t.Context(), EndpointConfig{URL: sender.NewURL(server.URL)})
		require.NoError(t, err)
		d := o.loaded(o.publishOne("shop"))
		to, err := o.worker.targets.get(t.Context(), d, time.Now())
		require.NoError(t, err)
		require.Equal(t, sender.Failed, o.worker.attempt(t.Context(), o.permit(d), to.to, d).Outcome)
		passed := time.Hour
		o.limiter.Clock = func() time.Time { return time.Now().Add(passed) }
		probe := o.permit(d)
		p, _, err := o.limiter.Admit(t.Context(), o.worker.request(d))
		require.NoError(t, err)
		require.Nil(t, p, "an open breaker admits one attempt")
		status = http.StatusUnprocessableEntity
		require.Equal(t, sender.Aborted, o.worker.attempt(t.Context(), probe, to.to, d).Outcome)
		first := o.permit(d)
		passed += time.Minute // the rate of attempts grows from one a second
		second := o.permit(d)
		first.Release(admission.Inconclusive)
		second.Release(admission.Inconclusive)
	}, WithBreaker(1, time.Minute, time.Minute), control)
}

// permit fails the test if the delivery is not admitted.
func (o *inside) permit(d *loaded) *admission.Permit {
	o.t.Helper()
	p, _, err := o.limiter.Admit(o.t.Context(), o.worker.request(d))
	require.NoError(o.t, err)
	require.NotNil(o.t, p)
	return p
}

// broken is a signer that panics.
type broken struct{}

func (broken) Sign(context.Context, *http.Request, string, time.Time, []byte) error { panic("mine") }

// The wait after an attempt is the longer one of the schedule's and the
// endpoint's. The schedule starts again with each replay.
func TestNewResult(t *testing.T) {
	t.Parallel()
	minute := sender.Schedule(sender.Platform)
	now := time.Now()
	first, _ := nthWait(minute, 0, 0)
	d := &loaded{attempts: 50}
	a := refused()
	require.GreaterOrEqual(t, newResult(d, minute, a, now).nextAt.Sub(now), time.Duration(0))
	a.RetryAfter = first + 48*time.Hour
	r := newResult(d, minute, a, now)
	require.Equal(t, Pending, r.state, "the replay's first attempt")
	require.Equal(t, now.Add(a.RetryAfter), r.nextAt)
	require.Zero(t, r.doneAt)
	a.Outcome = sender.Gone
	require.Equal(t, Failed, newResult(d, minute, a, now).state)
	a.Outcome = sender.Failed
	d.step = 50
	r = newResult(d, minute, a, now)
	require.Equal(t, Failed, r.state)
	require.Equal(t, now, r.doneAt)
}

// A request to the limiter contains what the database has about the endpoint.
func TestWorker_Request(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		require.Equal(t, DefaultMaxConcurrency, o.worker.request(o.loaded(o.publishOne("shop"))).Concurrency)
		_, err := o.App("shop").UpdateEndpoint(t.Context(), e, EndpointUpdate{MaxConcurrency: new(3), RateLimit: new(2.0)})
		require.NoError(t, err)
		d := o.failingFor(time.Minute)
		until := stamp(time.Now().Add(time.Minute))
		o.health.storeOpenBreaker(t.Context(), d, until)
		d = o.loaded(d.id)
		r := o.worker.request(d)
		r.Slots = nil
		require.Equal(t, &admission.Request{
			Endpoint: e, Version: d.version, Concurrency: 3, Failing: true,
			BreakerOpenUntil: until, Interval: time.Second / 2,
		}, r)
	})
}

// Two transactions that did not see each other publish events of one
// deployment. The worker finds the stale one.
func TestWorker_FindsStaleDelivery(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		id := o.publishAt("deploy.started", "d", 1)[e]
		o.publishAt("deploy.live", "d", 2)
		o.setSupersession(true)
		require.Equal(t, jobdb.Finished(), o.worker.try(t.Context(), id, o.loaded(id).job))
		require.Equal(t, Superseded, o.delivery(id).State)
		require.Zero(t, o.delivery(id).Attempts)
	})
}

// A stored pause that is longer than any pause of this breaker must come from a
// wrong clock. It is ignored.
func TestPublish_IgnoresImplausibleOpenBreaker(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		o.exec(`UPDATE {schema}outbox_endpoint SET breaker_open_until = ? WHERE id = ?`, micros(time.Now().Add(24*time.Hour)), e)
		require.Less(t, o.runsIn(o.publishOne("shop")), time.Minute)
		o.exec(`UPDATE {schema}outbox_endpoint SET breaker_open_until = ? WHERE id = ?`, micros(time.Now().Add(10*time.Minute)), e)
		waits := o.publishOne("shop")
		require.Greater(t, o.runsIn(waits), 2*time.Minute)
		require.Less(t, time.Until(o.delivery(waits).NextAt), time.Minute, "the delivery is due")
	}, WithBreaker(5, time.Minute, 10*time.Minute))
}
