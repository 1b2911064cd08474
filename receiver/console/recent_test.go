package console_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/console"
	"github.com/deployhook/deployhook/signer"
)

// sent is a receiver whose requests a Recent counts.
type sent struct {
	t      *testing.T
	scheme *signer.Standard
	h      http.Handler
}

func newSent(t *testing.T, recent *console.Recent, source string, handle receiver.EventHandler, opts ...receiver.Option) *sent {
	t.Helper()
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	require.NoError(t, err)
	store, err := dedupe.NewMemory()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	rcv, err := receiver.New(scheme, append(opts, receiver.WithDedupe(store, source), receiver.WithObserver(recent.Observer(source)))...)
	require.NoError(t, err)
	return &sent{t, scheme, rcv.Events(handle)}
}

const liveEvent = `{"event":"deploy.live","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_1","app":"api","environment":"production"}`

func (s *sent) post(id, body string, change ...func(*http.Request)) int {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader([]byte(body)))
	r.Header.Set("Content-Type", "application/json")
	require.NoError(s.t, s.scheme.Sign(r.Context(), r, id, time.Now(), []byte(body)))
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	return w.Code
}

func texts(all []console.RecentCount) map[string]int {
	out := map[string]int{}
	for _, c := range all {
		out[fmt.Sprintf("%s %s: %s", c.Source, c.Outcome, c.Reason)] = c.N
	}
	return out
}

// Requests are counted by outcome and reason, in minutes, for a day.
func TestRecent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		recent := console.NewRecent()
		var fault error
		s := newSent(t, recent, "platform", func(context.Context, *payload.Event) error { return fault })
		require.Empty(t, recent.Counts(60))
		require.Equal(t, 200, s.post("a", liveEvent))
		require.Equal(t, 200, s.post("a", liveEvent))
		require.Equal(t, 401, s.post("b", liveEvent, func(r *http.Request) { r.Header.Del("Webhook-Signature") }))
		require.Equal(t, 401, s.post("b", liveEvent, func(r *http.Request) { r.Header.Set("Webhook-Id", "other") }))
		require.Equal(t, 415, s.post("b", liveEvent, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }))
		require.Equal(t, 405, s.post("b", liveEvent, func(r *http.Request) { r.Method = http.MethodGet }))
		require.Equal(t, 400, s.post("b", `{"event":"deploy.live"}`))
		fault = errors.New("the chat room is gone")
		require.Equal(t, 500, s.post("c", liveEvent))
		fault = receiver.TryAgain(0, dedupe.ErrFull)
		require.Equal(t, 503, s.post("c", liveEvent))
		want := map[string]int{
			"platform handled: The handler succeeded.": 1, "platform duplicate: It was handled before.": 1,
			"platform unauthenticated: A signature header was missing.": 1, "platform unauthenticated: No key matched the signature.": 1,
			"platform refused: The content type or encoding was wrong.": 1, "platform refused: The method was not POST.": 1,
			"platform invalid: It was authentic, but not a valid payload.": 1, "platform failed: The handler failed.": 1,
			"platform unavailable: The store or the backlog was full.": 1,
		}
		require.Equal(t, want, texts(recent.Counts(60)))
		require.NotContains(t, fmt.Sprint(recent.Counts(60)), "chat room")

		time.Sleep(59 * time.Minute)
		fault = nil
		require.Equal(t, 200, s.post("d", liveEvent))
		require.Equal(t, 2, texts(recent.Counts(60))["platform handled: The handler succeeded."])
		require.Equal(t, map[string]int{"platform handled: The handler succeeded.": 1}, texts(recent.Counts(1)))
		time.Sleep(24*time.Hour - time.Minute)
		require.Equal(t, map[string]int{"platform handled: The handler succeeded.": 1}, texts(recent.Counts(5000)))
		time.Sleep(time.Minute)
		require.Empty(t, recent.Counts(5000))
		require.Equal(t, 200, s.post("e", liveEvent)) // the minute of a day ago begins again
		require.Equal(t, map[string]int{"platform handled: The handler succeeded.": 1}, texts(recent.Counts(5000)))
	})
}

// Sources beyond the limit are counted together.
func TestRecent_IsBounded(t *testing.T) {
	t.Parallel()
	recent := console.NewRecent()
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			observe := recent.Observer(fmt.Sprintf("source %d", i))
			for range 100 {
				observe(t.Context(), receiver.Result{Outcome: receiver.Handled})
			}
		})
	}
	group.Wait()
	all := recent.Counts(60)
	require.Len(t, all, 17)
	n := 0
	for _, c := range all {
		n += c.N
	}
	require.Equal(t, 4000, n)
	require.Equal(t, 2400, texts(all)["other sources handled: The handler succeeded."])

	var none *console.Recent
	none.Observer("x")(t.Context(), receiver.Result{})
	require.Empty(t, none.Counts(1))
}

// Every outcome and reason has a text, and every failure says what to do.
func TestRecent_EveryReason(t *testing.T) {
	t.Parallel()
	recent := console.NewRecent()
	observe := recent.Observer("platform")
	for _, o := range []receiver.Outcome{
		receiver.Handled, receiver.Accepted, receiver.Duplicate, receiver.Ignored, receiver.InFlight, receiver.Refused, receiver.Unauthenticated,
		receiver.Invalid, receiver.Failed, receiver.Panicked, receiver.Unavailable,
	} {
		observe(t.Context(), receiver.Result{Outcome: o, Status: 500})
	}
	observe(t.Context(), receiver.Result{Outcome: receiver.Handled, Err: errors.New("part")})
	observe(t.Context(), receiver.Result{Outcome: receiver.Failed, Status: 404})
	for _, status := range []int{400, 405, 408, 413, 415} {
		observe(t.Context(), receiver.Result{Outcome: receiver.Refused, Status: status})
	}
	for _, err := range []error{
		signer.ErrMissingHeader, signer.ErrMalformed, signer.ErrNoMatch, signer.ErrInvalidAPIKey, signer.ErrTooOld, signer.ErrTooNew, receiver.ErrUnknownTenant,
	} {
		observe(t.Context(), receiver.Result{Outcome: receiver.Unauthenticated, Err: err})
	}
	observe(t.Context(), receiver.Result{Outcome: receiver.Unavailable, Err: dedupe.ErrFull})
	all := recent.Counts(60)
	require.Len(t, all, console.Kinds)
	seen := map[receiver.Outcome]int{}
	for _, c := range all {
		require.NotEmpty(t, c.Reason)
		seen[c.Outcome]++
	}
	require.Len(t, seen, 11)
}

// The page shows what was refused and why, by source and time.
func TestRecentPage(t *testing.T) {
	t.Parallel()
	recent := console.NewRecent()
	w := onSQLite(t, console.WithRecent(recent))
	ops := w.as("olga")
	ops.Open("/").Follow("Recent").Says("Nothing was received in that time.", "Counted by this process since")
	s := newSent(t, recent, "platform", func(context.Context, *payload.Event) error { return nil })
	_ = recent.Observer("<b>github</b>")
	require.Equal(t, 200, s.post("a", liveEvent))
	require.Equal(t, 200, s.post("a", liveEvent))
	require.Equal(t, 401, s.post("b", liveEvent, func(r *http.Request) { r.Header.Set("Webhook-Id", "secret-id") }))
	page := ops.Open("/recent").Says("Handled or stored 1", "Duplicates 1", "Refused 1", "No key matched the signature.", "Compare the secret on both sides", "Show the figures")
	require.NotContains(t, page.Source, "secret-id")
	require.NotContains(t, page.Source, "<b>github")
	require.Less(t, strings.Index(tableAt(page, 1), "Not authentic"), strings.Index(tableAt(page, 1), "Handled"), "what needs a person comes first")
	page.Follow("Last hour").Says("No key matched")
	page.Submit("Filter", "source", "<b>github</b>").Says("Nothing came from this source in that time.").Follow("Show all").Says("No key matched")
	page.Submit("Filter", "source", "platform").Says("No key matched").Follow("6 hours").Says("No key matched")
}
