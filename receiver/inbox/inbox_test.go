package inbox_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/signer"
)

func TestAcceptThenHandle(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		var seen calls
		got := make(chan *receiver.Delivery, 1)
		attempts := make(chan *inbox.Attempt, 1)
		mux, err := receiver.NewMux(receiver.Route("deploy.*", func(ctx context.Context, e *payload.Event) error {
			d, ok := receiver.FromContext(ctx)
			assert.True(t, ok)
			a, ok := inbox.FromContext(ctx)
			assert.True(t, ok)
			got <- d
			attempts <- a
			return seen.handle(ctx, e)
		}))
		require.NoError(t, err)
		in := open(mux.Handle)
		at := newEndpoint(t, in, "platform", signer.WithPrincipal("acme"))

		body := "{ \"event\":\"deploy.started\",\"timestamp\":\"2026-03-12T14:22:01Z\",\"deployment_id\":\"dep_1\",\"app\":\"api\",\"metadata\":{\"n\":1e2} }\n"
		w := at.post("whk_1", body)
		assert.Equal(t, http.StatusAccepted, w.Code)
		assert.JSONEq(t, `{"received":true}`, w.Body.String())
		w = at.post("whk_1", body)
		assert.Equal(t, http.StatusOK, w.Code)
		assert.JSONEq(t, `{"received":true,"duplicate":true}`, w.Body.String())
		assert.Empty(t, seen.list(), "no worker has started")
		record := only(t, in)
		assert.Equal(t, inbox.Pending, record.State)
		assert.WithinDuration(t, time.Now(), record.ReceivedAt, time.Minute)

		start(t, in)
		reaches(t, in, inbox.Stats{Handled: 1})
		d, a := <-got, <-attempts
		assert.Equal(t, body, string(d.Body), "to the byte")
		assert.Equal(t, "whk_1", d.ID)
		assert.Equal(t, "acme", d.Principal)
		assert.Equal(t, "platform", d.Source)
		assert.WithinDuration(t, time.Now(), d.Timestamp, time.Minute)
		assert.Equal(t, "dep_1", d.Event.DeploymentID)
		assert.Equal(t, 1, a.Number)

		w = at.post("whk_1", body)
		assert.Equal(t, http.StatusOK, w.Code, "recognised during the retention")
		full, err := in.Get(t.Context(), a.ID)
		require.NoError(t, err)
		assert.Equal(t, body, string(full.Body))
		assert.Equal(t, inbox.Handled, full.State)
		assert.Equal(t, 1, full.Attempts)
		assert.Equal(t, a.ReceivedAt, full.ReceivedAt)
		assert.False(t, full.FinishedAt.Before(full.ReceivedAt))
		assert.Equal(t, []string{"deploy.started dep_1"}, seen.list())
	})
}

func TestAccept_DeliveryIdentity(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		in := open((&calls{}).handle)
		one, two := newEndpoint(t, in, "one"), newEndpoint(t, in, "two")
		tenant := newEndpoint(t, in, "one", signer.WithPrincipal("acme"))
		for _, d := range []*endpoint{one, two, tenant} {
			assert.Equal(t, http.StatusAccepted, d.post("same", started(1)).Code)
			assert.Equal(t, http.StatusOK, d.post("same", started(1)).Code)
		}
		assert.Equal(t, 3, stats(t, in).Pending)
	})
}

func TestAccept_IgnoresUnsignedIDs(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		in := open((&calls{}).handle)
		secret, err := signer.NewLiteralSecret("It's a Secret to Everybody")
		require.NoError(t, err)
		scheme, err := signer.NewTimestamped(secret)
		require.NoError(t, err)
		h, err := in.Handler(scheme, "github", receiver.WithLogger(quiet()))
		require.NoError(t, err)
		send := func(id, body string) int {
			r, w := request(body)
			require.NoError(t, scheme.Sign(r.Context(), r, id, time.Now(), []byte(body)))
			h.ServeHTTP(w, r)
			return w.Code
		}
		assert.Equal(t, http.StatusAccepted, send("a", started(1)))
		assert.Equal(t, http.StatusOK, send("b", started(1)), "the same body under another unsigned ID")
		assert.Equal(t, http.StatusAccepted, send("a", started(2)), "another body under the same unsigned ID")
		assert.Equal(t, 2, stats(t, in).Pending)
	})
}

func TestAccept_StoresNothingInvalid(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		in := open((&calls{}).handle)
		at := newEndpoint(t, in, "platform")
		stranger := &endpoint{t: t, scheme: newScheme(t), h: at.h}
		assert.Equal(t, http.StatusUnauthorized, stranger.post("a", started(1)).Code)
		assert.Equal(t, http.StatusBadRequest, at.post("a", `{"event":"deploy.started"}`).Code)
		assert.Zero(t, stats(t, in))
	})
}

func TestHandler_RetriedUntilSuccess(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		var n atomic.Int32
		results := make(chan inbox.Result, 10)
		in := open(func(ctx context.Context, _ *payload.Event) error {
			a, _ := inbox.FromContext(ctx)
			assert.EqualValues(t, n.Add(1), a.Number)
			switch a.Number {
			case 1:
				return errors.New("not yet \x00\xff")
			case 2:
				panic("oh")
			case 3:
				runtime.Goexit()
			}
			return nil
		}, inbox.WithObserver(func(_ context.Context, r inbox.Result) { results <- r; panic("contained") }))
		newEndpoint(t, in, "platform").accept(started(1))
		start(t, in)
		reaches(t, in, inbox.Stats{Handled: 1})
		assert.Equal(t, 4, only(t, in).Attempts)
		assert.Empty(t, only(t, in).LastError)
		for i, want := range []string{"not yet", "panicked: oh", "ended its goroutine", ""} {
			r := <-results
			assert.Equal(t, i+1, r.Attempt)
			assert.Equal(t, "dep_1", r.Delivery.DeploymentID)
			if want == "" {
				assert.Equal(t, inbox.Handled, r.State)
				require.NoError(t, r.Err)
				continue
			}
			assert.Equal(t, inbox.Pending, r.State)
			assert.Equal(t, time.Millisecond, r.RetryIn)
			require.ErrorContains(t, r.Err, want)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	never := errors.New("never")
	cases := map[string]struct {
		handler  receiver.EventHandler
		opts     []inbox.Option
		attempts int
		text     string
	}{
		"out of attempts": {
			handler: func(context.Context, *payload.Event) error { return never }, attempts: 3,
			opts: []inbox.Option{inbox.WithMaxAttempts(3)}, text: "never",
		},
		"schedule ends": {
			handler: func(context.Context, *payload.Event) error { return never }, attempts: 1,
			opts: []inbox.Option{inbox.WithRetrySchedule(func() backoff.BackOff { return &backoff.StopBackOff{} })}, text: "never",
		},
		"permanent": {
			handler: func(context.Context, *payload.Event) error { return inbox.Permanent(never) }, attempts: 1, text: "never",
		},
		"permanent panic": {
			handler: func(context.Context, *payload.Event) error { panic(inbox.Permanent(never)) }, attempts: 1, text: "panicked: never",
		},
		"timeout": {
			handler:  func(ctx context.Context, _ *payload.Event) error { <-ctx.Done(); return ctx.Err() },
			opts:     []inbox.Option{inbox.WithHandlerTimeout(20 * time.Millisecond), inbox.WithMaxAttempts(2)},
			attempts: 2, text: "context deadline exceeded",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, open opener) {
				in := open(c.handler, c.opts...)
				at := newEndpoint(t, in, "platform")
				id := at.accept(started(1))
				start(t, in)
				reaches(t, in, inbox.Stats{Dead: 1})
				d := only(t, in)
				assert.Equal(t, c.attempts, d.Attempts)
				assert.Contains(t, d.LastError, c.text)
				assert.Equal(t, http.StatusOK, at.post(id, started(1)).Code, "a copy of a dead letter is still a duplicate")
			})
		})
	}
}

func TestPermanent_NilStaysNil(t *testing.T) {
	t.Parallel()
	require.NoError(t, inbox.Permanent(nil))
	cause := errors.New("cause")
	require.ErrorIs(t, inbox.Permanent(cause), cause)
	assert.Equal(t, "cause", inbox.Permanent(cause).Error())
}

func TestReplay(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		var broken atomic.Bool
		broken.Store(true)
		var seen calls
		in := open(func(ctx context.Context, e *payload.Event) error {
			if broken.Load() {
				return inbox.Permanent(errors.New("broken"))
			}
			return seen.handle(ctx, e)
		})
		ctx, at := t.Context(), newEndpoint(t, in, "platform")
		at.accept(started(1))
		id := only(t, in).ID
		require.ErrorIs(t, in.Replay(ctx, id), inbox.ErrPending)
		require.ErrorIs(t, in.Replay(ctx, 99), inbox.ErrNotFound)
		_, err := in.Get(ctx, 99)
		require.ErrorIs(t, err, inbox.ErrNotFound)
		var senders sync.WaitGroup
		for group := range 6 { // more than a batch
			senders.Go(func() {
				for i := range 10 {
					assert.Equal(t, http.StatusAccepted, at.post(payload.NewDeliveryID(), started(2+10*group+i)).Code)
				}
			})
		}
		senders.Wait()
		start(t, in)
		reaches(t, in, inbox.Stats{Dead: 61})

		n, err := in.ReplayDead(ctx, inbox.Filter{DeploymentID: "dep_7"})
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		reaches(t, in, inbox.Stats{Dead: 61}) // the handler still fails
		broken.Store(false)
		require.NoError(t, in.Replay(ctx, id))
		reaches(t, in, inbox.Stats{Dead: 60, Handled: 1})
		d, err := in.Get(ctx, id)
		require.NoError(t, err)
		assert.Equal(t, 1, d.Attempts, "since it was replayed")
		n, err = in.ReplayDead(ctx, inbox.Filter{})
		require.NoError(t, err)
		assert.Equal(t, 60, n)
		reaches(t, in, inbox.Stats{Handled: 61})
		require.NoError(t, in.Replay(ctx, id), "handled deliveries can be replayed too")
		reaches(t, in, inbox.Stats{Handled: 61})
		assert.Len(t, seen.list(), 62)
		n, err = in.ReplayDead(ctx, inbox.Filter{})
		require.NoError(t, err)
		assert.Zero(t, n)
	})
}

func TestListAndFilter(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		in := open((&calls{}).handle)
		a, b := newEndpoint(t, in, "a", signer.WithPrincipal("x\x00y")), newEndpoint(t, in, "b")
		for i := range 5 {
			a.accept(started(i))
			b.accept(eventText(payload.DeployLive, "dep_live", i))
		}
		ctx := t.Context()
		list := func(f inbox.Filter) []inbox.Delivery {
			l, err := in.List(ctx, f, inbox.Page{})
			require.NoError(t, err)
			require.Empty(t, l.Next)
			return l.Items
		}
		all := list(inbox.Filter{})
		require.Len(t, all, 10)
		for i, d := range all[1:] {
			assert.Less(t, d.ID, all[i].ID, "the newest first")
			assert.Nil(t, d.Body)
		}
		assert.Len(t, list(inbox.Filter{Source: "a"}), 5)
		assert.Len(t, list(inbox.Filter{Principal: "x\x00y"}), 5)
		assert.Len(t, list(inbox.Filter{Type: payload.DeployLive}), 5)
		assert.Len(t, list(inbox.Filter{DeploymentID: "dep_3"}), 1)
		assert.Len(t, list(inbox.Filter{State: inbox.Pending}), 10)
		assert.Empty(t, list(inbox.Filter{State: inbox.Dead}))
		assert.Len(t, list(inbox.Filter{Since: all[9].ReceivedAt, Until: all[0].ReceivedAt.Add(time.Microsecond)}), 10)
		assert.Empty(t, list(inbox.Filter{Until: all[9].ReceivedAt}))
		assert.Empty(t, list(inbox.Filter{Since: all[0].ReceivedAt.Add(time.Second)}))
		var paged []inbox.Delivery
		for p := (inbox.Page{Limit: 3}); ; {
			page, err := in.List(ctx, inbox.Filter{}, p)
			require.NoError(t, err)
			paged = append(paged, page.Items...)
			if p.Cursor = page.Next; p.Cursor == "" {
				break
			}
		}
		exact, err := in.List(ctx, inbox.Filter{}, inbox.Page{Limit: 10})
		require.NoError(t, err)
		require.Empty(t, exact.Next, "a full page that is the last has no next one")
		for _, p := range []inbox.Page{{Limit: -1}, {Limit: inbox.MaxPageLimit + 1}, {Cursor: "?"}, {Cursor: "LTE"}} {
			_, err := in.List(ctx, inbox.Filter{}, p)
			require.ErrorIs(t, err, inbox.ErrInvalid)
		}
		_, err = in.List(ctx, inbox.Filter{State: "failed"}, inbox.Page{})
		require.ErrorIs(t, err, inbox.ErrInvalid, "no delivery has this state")
		// PostgreSQL does not compare such texts.
		assert.Empty(t, list(inbox.Filter{Source: "a\x00", Error: "\xff\x00"}))
		_, err = in.Handler(a.scheme, "a\x00")
		require.ErrorIs(t, err, inbox.ErrConfig)
		assert.Equal(t, all, paged)
		assert.Equal(t, all[9].ReceivedAt, stats(t, in).OldestPending)
	})
}

func TestBacklog_IsBounded(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		in := open((&calls{}).handle, inbox.WithMaxBacklog(3))
		at := newEndpoint(t, in, "platform")
		for i := range 3 {
			at.accept(started(i))
		}
		for range 3 {
			w := at.post(payload.NewDeliveryID(), started(9))
			assert.Equal(t, http.StatusServiceUnavailable, w.Code)
			assert.Equal(t, "30", w.Header().Get("Retry-After"))
		}
		assert.Equal(t, 3, stats(t, in).Pending)
		start(t, in)
		reaches(t, in, inbox.Stats{Handled: 3})
		require.Eventually(t, func() bool { return at.post("again", started(9)).Code == http.StatusAccepted }, patience, 50*time.Millisecond)
	})
}

func TestAccept_ConcurrentCopiesAreStoredOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		const kinds, copies = 20, 8
		var seen calls
		scheme := newScheme(t)
		endpoints := make([]*endpoint, 2)
		var last *inbox.Inbox
		for i := range endpoints { // two processes
			last = open(seen.handle)
			h, err := last.Handler(scheme, "platform", receiver.WithLogger(quiet()))
			require.NoError(t, err)
			endpoints[i] = &endpoint{t: t, scheme: scheme, h: h}
		}
		codes := make(chan int, kinds*copies)
		for i := range kinds * copies {
			go func() { codes <- endpoints[i%2].post("whk_"+string(rune('a'+i%kinds)), started(i%kinds)).Code }()
		}
		count := make(map[int]int)
		for range kinds * copies {
			count[<-codes]++
		}
		assert.Equal(t, map[int]int{http.StatusAccepted: kinds, http.StatusOK: kinds * (copies - 1)}, count)
		start(t, last)
		reaches(t, last, inbox.Stats{Handled: kinds})
		assert.Len(t, seen.list(), kinds)
	})
}

func TestPruning(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		var n atomic.Int32
		in := open(func(_ context.Context, e *payload.Event) error {
			n.Add(1)
			if e.Type == payload.DeployFailed {
				return inbox.Permanent(errors.New("no"))
			}
			return nil
		}, inbox.WithOrdering())
		at := newEndpoint(t, in, "platform")
		at.accept(eventText(payload.DeployLive, "dep", 5))
		at.accept(eventText(payload.DeployFailed, "other", 5))
		start(t, in)
		reaches(t, in, inbox.Stats{Handled: 1, Dead: 1})
		in.Prune(t.Context(), 0)
		reaches(t, in, inbox.Stats{Handled: 1, Dead: 1})
		in.Prune(t.Context(), inbox.DefaultRetention+time.Minute)
		reaches(t, in, inbox.Stats{Dead: 1})
		assert.Equal(t, 2, in.Positions(t.Context()), "late events must still be stale")
		// the worker releases its lease a moment after the event was handled
		assert.Eventually(t, func() bool {
			in.Prune(t.Context(), 40*24*time.Hour)
			return in.Positions(t.Context()) == 1
		}, patience, 10*time.Millisecond, "the dead letter's position stays")
		reaches(t, in, inbox.Stats{Dead: 1})
	})
}

// A handled delivery makes room at once, even with a small limit.
func TestBacklog_HandledDeliveriesMakeRoom(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		in := open((&calls{}).handle, inbox.WithMaxBacklog(2))
		at := newEndpoint(t, in, "platform")
		start(t, in)
		for i := range 12 {
			at.accept(started(i))
			if i%2 == 1 { // the backlog was full and is now empty
				reaches(t, in, inbox.Stats{Handled: i + 1})
			}
		}
	})
}
