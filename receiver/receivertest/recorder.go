package receivertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
)

// Call is one call of a handler.
type Call struct {
	// ID is the delivery's ID, if the scheme signs one.
	ID string
	// Source, Principal and Key are those of the [receiver.Delivery].
	Source, Principal, Key string
	// Event is the event, if the handler takes events.
	Event *payload.Event
	// Deployment is the record, if the handler takes records.
	Deployment *payload.Deployment
	// Body is the delivery's body.
	Body []byte
	// At is when the call began.
	At time.Time
}

func (c Call) String() string {
	var what string
	switch {
	case c.Event != nil:
		what = fmt.Sprintf("%s of %s", c.Event.Type, c.Event.DeploymentID)
	case c.Deployment != nil:
		what = fmt.Sprintf("a record with status %s of %s", c.Deployment.Status, c.Deployment.DeploymentID)
	default:
		what = fmt.Sprintf("%d bytes", len(c.Body))
	}
	if c.ID == "" {
		return what
	}
	return what + ", delivery " + c.ID
}

// Recorder is a handler that records its calls. Pass [Recorder.Event] to
// Receiver.Events, [Recorder.Record] to Receiver.Records, or the Recorder
// itself to Receiver.Wrap. To record the calls of the service's own handler,
// see [Recorder.Around].
//
// It returns nil at once if it was told nothing else. All methods are safe for
// concurrent use.
type Recorder struct {
	t testing.TB

	mu    sync.Mutex
	takes time.Duration
	next  []func(context.Context) error
	calls []Call
}

// NewRecorder returns a Recorder.
func NewRecorder(t testing.TB) *Recorder { return &Recorder{t: t} }

// Takes sets how long each call takes from now on. A call whose context ends
// returns the cause. Use it in a testing/synctest bubble.
func (r *Recorder) Takes(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.takes = d
}

// Returns sets the results of the next calls. Later calls return nil.
func (r *Recorder) Returns(results ...error) {
	for _, err := range results {
		r.Does(func(context.Context) error { return err })
	}
}

// Does sets what the next calls do, such as to panic or to wait. Later calls
// return nil.
func (r *Recorder) Does(steps ...func(context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = append(r.next, steps...)
}

// Event is a [receiver.EventHandler].
func (r *Recorder) Event(ctx context.Context, e *payload.Event) error {
	return r.called(ctx, Call{Event: e})
}

// Record is a [receiver.RecordHandler].
func (r *Recorder) Record(ctx context.Context, d *payload.Deployment) error {
	return r.called(ctx, Call{Deployment: d})
}

// ServeHTTP is an [http.Handler]. It answers an error with 500.
func (r *Recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err == nil {
		err = r.called(req.Context(), Call{Body: body})
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// Around returns a handler that records each call, does what the Recorder was
// told, and then calls h.
func (r *Recorder) Around(h receiver.EventHandler) receiver.EventHandler {
	return func(ctx context.Context, e *payload.Event) error {
		if err := r.Event(ctx, e); err != nil {
			return err
		}
		return h(ctx, e)
	}
}

// called records a call and does what is next.
func (r *Recorder) called(ctx context.Context, c Call) error {
	c.At = time.Now()
	if d, ok := receiver.FromContext(ctx); ok {
		c.ID, c.Source, c.Principal, c.Key, c.Body = d.ID, d.Source, d.Principal, d.Key, bytes.Clone(d.Body)
	}
	r.mu.Lock()
	r.calls = append(r.calls, c)
	takes, step := r.takes, func(context.Context) error { return nil }
	if len(r.next) > 0 {
		step, r.next = r.next[0], r.next[1:]
	}
	r.mu.Unlock()
	if err := pause(ctx, takes); err != nil {
		return err
	}
	return step(ctx)
}

// Calls returns the calls so far, in the order in which they began.
func (r *Recorder) Calls() []Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// WantCalls fails the test if the handler was not called n times.
func (r *Recorder) WantCalls(n int) {
	r.t.Helper()
	if calls := r.Calls(); len(calls) != n {
		r.t.Errorf("receivertest: the handler was called %s, want %s%s", times(len(calls)), times(n), list(calls))
	}
}

// WantDelivery fails the test if the handler was not called n times for the
// delivery.
func (r *Recorder) WantDelivery(d *Delivery, n int) {
	r.t.Helper()
	calls := r.Calls()
	got := 0
	for _, c := range calls {
		if bytes.Equal(c.Body, d.Body) && (c.ID == "" || c.ID == d.ID) {
			got++
		}
	}
	if got != n {
		r.t.Errorf("receivertest: the handler was called %s for delivery %s of %s, want %s%s", times(got), d.ID, d.what, times(n), list(calls))
	}
}

// WantTypes fails the test if the handler was not called for events of exactly
// these types. Their order does not matter, because deliveries arrive in any
// order.
func (r *Recorder) WantTypes(want ...payload.Type) {
	r.t.Helper()
	calls := r.Calls()
	var got []payload.Type
	for _, c := range calls {
		if c.Event != nil {
			got = append(got, c.Event.Type)
		}
	}
	want = slices.Sorted(slices.Values(want))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		r.t.Errorf("receivertest: the handler was called for the types %v, want %v%s", got, want, list(calls))
	}
}

// list shows calls in the text of a failure.
func list(calls []Call) string {
	var out strings.Builder
	for i, c := range calls {
		fmt.Fprintf(&out, "\n\t%d. %v", i+1, c)
	}
	return out.String()
}
