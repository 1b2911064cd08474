package outbox

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// The endpoint gets one attempt, and the attempt is recorded, no matter what
// the application's callbacks do.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"WithHook": func(t *testing.T, f *callbacktest.Fault) {
			c := newCustomer(t, f, 200, EndpointConfig{}, WithHook(func(context.Context, Notice) { f.Happen() }))
			c.settles(Delivered)
			c.counts("WithHook")
		},
		"WithTelemetry": func(t *testing.T, f *callbacktest.Fault) {
			c := newCustomer(t, f, 200, EndpointConfig{}, WithTelemetry((&spy{fault: f.Happen}).open))
			c.settles(Delivered)
			c.counts("WithTelemetry")
		},
		"WithLogger": func(t *testing.T, f *callbacktest.Fault) {
			c := newCustomer(t, f, 410, EndpointConfig{}, WithLogger(slog.New(badHandler{f.Happen})))
			c.settles(Failed)
			require.Equal(t, EndpointDisabled, c.shown(c.endpoint).State)
			c.counts("WithLogger")
		},
		"WithSchedule": func(t *testing.T, f *callbacktest.Fault) {
			var made atomic.Bool
			before := time.Now()
			c := newCustomer(t, f, 500, EndpointConfig{Schedule: "mine"}, WithSchedule("mine", func() backoff.BackOff {
				if made.Swap(true) {
					f.Happen()
				}
				return backoff.NewConstantBackOff(time.Millisecond)
			}), optionFunc(func(c *config) { c.scheduleLimit = 100 * time.Millisecond }))
			d := c.settles(Pending)
			require.WithinRange(t, d.NextAt, before.Add(10*time.Second), time.Now().Add(15*time.Second), "as sender.Platform says")
			require.EqualValues(t, 1, c.Faults()["WithSchedule"], "also a schedule that hangs")
		},
		"WithFormat": func(t *testing.T, f *callbacktest.Fault) {
			o := newInside(t, WithFormat("mine", badFormat{f.Happen}))
			e, _, err := o.App("shop").CreateEndpoint(t.Context(), EndpointConfig{URL: sender.NewURL("http://127.0.0.1:1/"), BodyFormat: "mine"})
			require.NoError(t, err)
			p := callbacktest.Outlives(t, f, func() Publication {
				p, err := o.App("shop").Publish(t.Context(), &payload.Event{Type: "deploy.canary", Timestamp: time.Now(), DeploymentID: "d_1"})
				if err != nil {
					t.Error(err)
				}
				return p
			})
			require.Len(t, p.Deliveries, 1)
			require.Equal(t, Failed, o.delivery(p.Deliveries[0].ID).State)
			require.Equal(t, EndpointActive, o.shown(e.ID).State)
			(&customer{inside: o, f: f}).counts("WithFormat")
		},
		"WithReplayProgress": func(t *testing.T, f *callbacktest.Fault) {
			o := newInside(t)
			e := o.endpoint("shop", 0)
			o.write(o.loaded(o.publishOne("shop")).failed(time.Now(), time.Time{}))
			s := callbacktest.Outlives(t, f, func() ReplayStatus {
				s, err := o.App("shop").ReplayRange(t.Context(), DeliveryFilter{Endpoint: e}, WithReplayProgress(func(ReplayStatus) { f.Happen() }))
				if err != nil {
					t.Error(err)
				}
				return s
			})
			require.True(t, s.Complete)
			require.Equal(t, 1, s.Pending)
			(&customer{inside: o, f: f}).counts("WithReplayProgress")
		},
		"sender.WithObserver": func(t *testing.T, f *callbacktest.Fault) {
			c := newCustomer(t, f, 200, EndpointConfig{}, WithSender(loopbacks(), sender.WithObserver(func(context.Context, sender.Attempt) { f.Happen() })))
			if f.Kind == callbacktest.Hangs { // the attempt is not over before its observer
				<-f.Entered()
				require.EqualValues(t, 1, c.hits.Load())
				f.Release()
			}
			c.settles(Delivered)
			c.counts("WithObserver")
		},
	})
}

func loopbacks() sender.Option { return sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")) }

// customer is an app with one endpoint and one pending delivery.
type customer struct {
	*inside
	f        *callbacktest.Fault
	endpoint string
	hits     *atomic.Int64
	id       string
}

// newCustomer has an endpoint that answers with a status. A callback that hangs
// is released before the outbox closes.
func newCustomer(t *testing.T, f *callbacktest.Fault, status int, e EndpointConfig, opts ...Option) *customer {
	t.Helper()
	c := &customer{inside: newInside(t, opts...), f: f, hits: new(atomic.Int64)}
	t.Cleanup(f.Release)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c.hits.Add(1)
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	require.NoError(t, c.Start(t.Context()))
	e.URL = sender.NewURL(server.URL)
	made, _, err := c.App("shop").CreateEndpoint(t.Context(), e)
	require.NoError(t, err)
	c.endpoint, c.id = made.ID, c.publishOne("shop")
	return c
}

// settles waits until one attempt is on record and the delivery is in the
// state.
func (c *customer) settles(s State) Delivery {
	c.t.Helper()
	<-c.f.Entered()
	var d Delivery
	require.Eventually(c.t, func() bool {
		d = c.delivery(c.id)
		return d.State == s && d.Attempts == 1
	}, hangLimit, 5*time.Millisecond)
	require.EqualValues(c.t, 1, c.hits.Load(), "copies")
	return d
}

// counts asserts that the fault is counted. A call that only hangs is not a
// fault.
func (c *customer) counts(name string) {
	c.t.Helper()
	if c.f.Kind == callbacktest.Hangs {
		require.Zero(c.t, c.Faults()[name])
		return
	}
	require.Eventually(c.t, func() bool { return c.Faults()[name] > 0 }, hangLimit, 5*time.Millisecond)
}

// A hook hangs on the first notice of an attempt. A gone endpoint is still
// disabled, and its waiting delivery does not stay pending.
func TestHook_HangDoesNotDelayDisabling(t *testing.T) {
	t.Parallel()
	f := &callbacktest.Fault{Kind: callbacktest.Hangs}
	f.Reset(t)
	c := newCustomer(t, f, 410, EndpointConfig{}, WithHook(func(context.Context, Notice) { f.Happen() }))
	c.settles(Failed)
	require.Equal(t, EndpointDisabled, c.shown(c.endpoint).State)
}

// The hook is called for events in the order in which they happened.
func TestHook_OrderOfNotices(t *testing.T) {
	t.Parallel()
	f := &callbacktest.Fault{}
	f.Reset(t)
	kinds := make(chan NoticeKind, 10)
	c := newCustomer(t, f, 410, EndpointConfig{}, WithHook(func(_ context.Context, n Notice) { kinds <- n.Kind; f.Happen() }))
	c.settles(Failed)
	for _, want := range []NoticeKind{NoticeAttempt, NoticeDone, NoticeDisabled} {
		require.Equal(t, want, <-kinds)
	}
}

func TestCallbacks_NilIsAConfigurationError(t *testing.T) {
	t.Parallel()
	var none *badFormat
	for name, opt := range map[string]Option{
		"WithHook": WithHook(nil), "WithTelemetry": WithTelemetry(nil), "WithLogger": WithLogger(nil), "WithFormat": WithFormat("mine", none),
		"WithSchedule":           WithSchedule("mine", nil),
		"WithSchedule: \"nil\"":  WithSchedule("nil", func() backoff.BackOff { return (*backoff.ConstantBackOff)(nil) }),
		"WithSchedule: \"oh\": ": WithSchedule("oh", func() backoff.BackOff { panic("oh") }),
	} {
		_, err := OpenSQLite(t.Context(), t.TempDir()+"/outbox.db", opt)
		require.ErrorIs(t, err, ErrConfig, name)
		require.ErrorContains(t, err, name)
	}
	o := newInside(t)
	_, err := o.App("shop").ReplayRange(t.Context(), DeliveryFilter{}, WithReplayProgress(nil))
	require.ErrorContains(t, err, "WithReplayProgress")
	_, err = o.App("shop").ReplayRange(t.Context(), DeliveryFilter{}, nil)
	require.ErrorContains(t, err, "an option is nil")
}

// badHandler is an application's log handler with a fault.
type badHandler struct{ fault func() }

func (badHandler) Enabled(context.Context, slog.Level) bool    { return true }
func (h badHandler) Handle(context.Context, slog.Record) error { h.fault(); return nil }
func (h badHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h badHandler) WithGroup(string) slog.Handler             { return h }

type badFormat struct{ fault func() }

func (f badFormat) Encode(context.Context, *payload.Event) (string, []byte, error) {
	f.fault()
	return "text/plain", nil, sender.ErrRefused
}
