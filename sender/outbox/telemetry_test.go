package outbox

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// spy is a Telemetry that notes its calls.
type spy struct {
	trace string
	fault func() // in EndDelivery
	stats func(context.Context) (Stats, error)

	mu        sync.Mutex
	starts    []sender.AttemptStart
	published []Publication
	endings   []Ending
	closed    int
}

func (s *spy) open(stats func(context.Context) (Stats, error)) (Telemetry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats = stats // two outboxes may open it at the same time
	return s, nil
}

func (s *spy) Sender() (sender.Telemetry, error) { return attempts{s}, nil }

func (s *spy) StartPublish(ctx context.Context, _ string, _ *payload.Event) (context.Context, string) {
	return ctx, s.trace
}

func (s *spy) EndPublish(_ context.Context, p Publication, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published = append(s.published, p)
}

func (s *spy) EndDelivery(_ context.Context, e Ending) {
	if s.fault != nil {
		s.fault()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endings = append(s.endings, e)
}

func (s *spy) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

type attempts struct{ *spy }

func (a attempts) StartAttempt(ctx context.Context, at sender.AttemptStart, _ http.Header) context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.starts = append(a.starts, at)
	return ctx
}
func (attempts) EndAttempt(context.Context, sender.Attempt) {}
func (a attempts) EndDelivery(context.Context, payload.Type, *sender.Receipt) {
	panic("an outbox makes single attempts")
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func quick() backoff.BackOff {
	return backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Millisecond), 1)
}

// Each attempt gets the trace of the publication, also if the body is in
// another format, and its number.
func TestTelemetry_FollowsAnEvent(t *testing.T) {
	t.Parallel()
	s := &spy{trace: traceparent}
	o := newInside(t, WithTelemetry(s.open), WithSchedule("quick", quick), WithFormat("text", upper{}))
	require.Equal(t, map[string]uint64{}, o.Faults())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	t.Cleanup(server.Close)
	for _, format := range []string{FormatJSON, "text"} {
		_, _, err := o.App("shop").CreateEndpoint(t.Context(), EndpointConfig{URL: sender.NewURL(server.URL + "/" + format), BodyFormat: format, Schedule: "quick"})
		require.NoError(t, err)
	}
	require.NoError(t, o.Start(t.Context()))
	p, err := o.App("shop").Publish(t.Context(), &payload.Event{Type: "deploy.canary", Timestamp: time.Now(), DeploymentID: "d_1"})
	require.NoError(t, err)
	require.Len(t, p.Deliveries, 2)
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.endings) == 2
	}, hangLimit, time.Millisecond)
	require.NoError(t, o.Stop(t.Context()))

	stats, err := s.stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, stats.States[Failed].N)
	numbers := map[string][]int{}
	for _, a := range s.starts {
		require.Equal(t, traceparent, a.Trace)
		require.Equal(t, server.URL, a.Endpoint)
		numbers[a.ID] = append(numbers[a.ID], a.Number)
	}
	for _, d := range p.Deliveries {
		require.Equal(t, []int{1, 2}, numbers[d.ID])
	}
	require.Equal(t, []Publication{p}, s.published)
	for _, e := range s.endings {
		require.Equal(t, Ending{App: "shop", Endpoint: e.Endpoint, Delivery: e.Delivery, Type: "deploy.canary", State: Failed, Class: sender.ClassStatus}, e)
	}
	require.NoError(t, o.Close())
	require.NoError(t, o.Close())
	require.Equal(t, 1, s.closed)
	require.Empty(t, o.Faults())
}

// upper is a format of another body.
type upper struct{}

func (upper) Encode(_ context.Context, e *payload.Event) (string, []byte, error) {
	return "text/plain", []byte(strings.ToUpper(string(e.Type))), nil
}

// The trace of an event also reaches deliveries that are made later.
func TestTelemetry_TraceOfMissedEvents(t *testing.T) {
	t.Parallel()
	s := &spy{trace: traceparent}
	insideEach(t, func(t *testing.T, o *inside) {
		before := time.Now()
		o.endpoint("shop", 0)
		o.publishOne("shop")
		e, _, err := o.App("shop").CreateEndpoint(t.Context(), EndpointConfig{URL: sender.NewURL("http://127.0.0.1:9/text"), BodyFormat: "text"})
		require.NoError(t, err)
		_, err = o.App("shop").SendMissed(t.Context(), e.ID, before.Add(-time.Minute))
		require.NoError(t, err)
		list, err := o.App("shop").Deliveries(t.Context(), DeliveryFilter{}, Page{})
		require.NoError(t, err)
		require.Len(t, list.Items, 2)
		for _, d := range list.Items {
			require.Equal(t, traceparent, o.loaded(d.ID).message.Trace)
		}
	}, WithTelemetry(s.open), WithFormat("text", upper{}))
}

// A text that is no trace is not stored, because the database may be unable to.
func TestTelemetry_StoresNoOtherText(t *testing.T) {
	t.Parallel()
	s := &spy{}
	o := newInside(t, WithTelemetry(s.open))
	o.endpoint("shop", 0)
	for _, text := range []string{"\x00", "a b", "ü", strings.Repeat("a", 513)} {
		s.trace = text
		require.Empty(t, o.loaded(o.publishOne("shop")).message.Trace)
	}
}

func TestTelemetry_OpenFails(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(func(context.Context) (Stats, error)) (Telemetry, error){
		"is nil":       nil,
		"no collector": func(func(context.Context) (Stats, error)) (Telemetry, error) { return nil, errors.New("no collector") },
		"neither":      func(func(context.Context) (Stats, error)) (Telemetry, error) { return nil, nil },
		"panicked":     func(func(context.Context) (Stats, error)) (Telemetry, error) { panic("no") },
	} {
		_, err := OpenSQLite(t.Context(), t.TempDir()+"/outbox.db", WithSealingKeys(sealingKey(t)), WithTelemetry(open))
		require.ErrorIs(t, err, ErrConfig)
		require.ErrorContains(t, err, "WithTelemetry: ")
		require.ErrorContains(t, err, name)
	}
}

// What was opened is closed if the constructor fails later. Figures are an
// error until it returns.
func TestTelemetry_ClosedAfterAnError(t *testing.T) {
	t.Parallel()
	s := &spy{}
	_, err := OpenSQLite(t.Context(), t.TempDir()+"/outbox.db", WithSealingKeys(sealingKey(t)), WithTelemetry(s.open), WithoutMigration())
	require.ErrorIs(t, err, ErrConfig)
	require.Equal(t, 1, s.closed)
	_, err = s.stats(t.Context())
	require.ErrorIs(t, err, ErrConfig)
}
