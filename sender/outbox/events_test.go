package outbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// follow polls as a consumer does, from a cursor on, until it has seen a number
// of events and is told that there are no others yet.
func follow(t testing.TB, a *outbox.App, f outbox.EventFilter, cursor string, number int) (ids []string, next string) {
	t.Helper()
	for begun := time.Now(); ; {
		require.Less(t, time.Since(begun), patience, "%d of %d events have appeared", len(ids), number)
		page, err := a.Events(t.Context(), f, outbox.Page{Cursor: cursor, Limit: 7})
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Items), 7)
		for _, e := range page.Items {
			ids = append(ids, e.ID)
		}
		if cursor = page.Next; !page.More && len(ids) >= number {
			return ids, cursor
		}
	}
}

func publishNamed(t testing.TB, a *outbox.App, prefix string, n int, typ payload.Type) (ids []string) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("%s-%03d", prefix, i)
		_, err := a.Publish(t.Context(), event(typ, "dep_"+id), outbox.WithEventID(id))
		require.NoError(t, err)
		ids = append(ids, id)
	}
	return ids
}

func TestEvents_FollowsTheCursor(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		a := o.App("shop")
		_, err := a.Events(t.Context(), outbox.EventFilter{}, outbox.Page{})
		require.ErrorIs(t, err, outbox.ErrUnknownApp)
		require.NoError(t, o.RegisterApp(t.Context(), "shop"))
		require.NoError(t, o.RegisterApp(t.Context(), "other"))

		empty, err := a.Events(t.Context(), outbox.EventFilter{}, outbox.Page{})
		require.NoError(t, err)
		require.Equal(t, outbox.Events{}, empty)

		first := publishNamed(t, a, "first", 20, payload.DeployLive)
		publishNamed(t, o.App("other"), "foreign", 3, payload.DeployLive)
		seen, cursor := follow(t, a, outbox.EventFilter{}, "", 20)
		require.Equal(t, first, seen)
		seen, again := follow(t, a, outbox.EventFilter{}, cursor, 0)
		require.Empty(t, seen)
		require.Equal(t, cursor, again)
		second := publishNamed(t, a, "second", 9, payload.DeployFailed)
		seen, _ = follow(t, a, outbox.EventFilter{}, cursor, 9)
		require.Equal(t, second, seen)

		seen, _ = follow(t, a, outbox.EventFilter{Types: []string{"deploy.failed"}}, "", 9)
		require.Equal(t, second, seen)
		seen, _ = follow(t, a, outbox.EventFilter{Since: time.Now().Add(time.Minute)}, "", 0)
		require.Empty(t, seen)
		seen, _ = follow(t, a, outbox.EventFilter{Since: time.Now().Add(-time.Hour)}, "", 29)
		require.Len(t, seen, 29)
	})
}

func TestEvents_ShowWhatWasPublished(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		a := o.App("shop")
		require.NoError(t, o.RegisterApp(t.Context(), "shop"))
		before := time.Now().Add(-time.Second)
		_, err := a.Publish(t.Context(), event(payload.DeployLive, "dep_1"), outbox.WithEventID("one"))
		require.NoError(t, err)
		page, err := a.Events(t.Context(), outbox.EventFilter{}, outbox.Page{})
		require.NoError(t, err)
		require.Len(t, page.Items, 1)
		e := page.Items[0]
		require.Equal(t, "one", e.ID)
		require.Equal(t, payload.DeployLive, e.Type)
		require.Equal(t, "dep_1", e.DeploymentID)
		require.WithinRange(t, e.CreatedAt, before, time.Now().Add(time.Second))
		require.Zero(t, e.ErasedAt)
		decoded, err := payload.DecodeEvent(e.Body)
		require.NoError(t, err)
		require.Empty(t, decoded.DeliveryID)
		require.Equal(t, "dep_1", decoded.DeploymentID)
	})
}

func TestEvents_RefusesCursorsOfOthers(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		require.NoError(t, o.RegisterApp(t.Context(), "shop"))
		for _, p := range []outbox.Page{
			{Cursor: "x"},
			{Cursor: "cG9zaXRpb24gLTE"}, // position -1
			{Cursor: "cG9zaXRpb24g"},    // without a number
			{Limit: -1},
			{Limit: outbox.MaxPageLimit + 1},
		} {
			_, err := o.App("shop").Events(t.Context(), outbox.EventFilter{}, p)
			require.ErrorIs(t, err, outbox.ErrInvalid, p)
		}
		_, err := o.App("shop").Events(t.Context(), outbox.EventFilter{Types: []string{"deploy.success"}}, outbox.Page{})
		require.ErrorIs(t, err, outbox.ErrInvalid)
		require.ErrorContains(t, err, "deploy.success")
	})
}

// A consumer that was away for too long must learn that it has missed events.
func TestEvents_SaysThatACursorHasExpired(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t, outbox.WithEventRetention(time.Hour))
		a := o.App("shop")
		require.NoError(t, o.RegisterApp(t.Context(), "shop"))
		publishNamed(t, a, "read", 5, payload.DeployLive)
		_, cursor := follow(t, a, outbox.EventFilter{}, "", 5)
		w.age(t, 2*time.Hour)
		_, err := o.Prune(t.Context())
		require.NoError(t, err)
		seen, _ := follow(t, a, outbox.EventFilter{}, cursor, 0)
		require.Empty(t, seen, "it had seen all that was deleted")

		publishNamed(t, a, "lost", 5, payload.DeployLive)
		w.age(t, 2*time.Hour)
		_, err = o.Prune(t.Context())
		require.NoError(t, err)
		kept := publishNamed(t, a, "kept", 5, payload.DeployLive)
		_, err = a.Events(t.Context(), outbox.EventFilter{}, outbox.Page{Cursor: cursor})
		require.ErrorIs(t, err, outbox.ErrCursorExpired)
		seen, _ = follow(t, a, outbox.EventFilter{}, "", 5)
		require.Equal(t, kept, seen)
	})
}

// A restored backup must not hand out positions again that a consumer has seen.
func TestEvents_GoOnAboveEarlierPositionsAfterARestore(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		a := o.App("shop")
		require.NoError(t, o.RegisterApp(t.Context(), "shop"))
		publishNamed(t, a, "lost", 50, payload.DeployLive)
		_, cursor := follow(t, a, outbox.EventFilter{}, "", 50)
		w.exec(t, `DELETE FROM `+w.table("outbox_event")) // as if the backup was older than they are
		if w.path != "" {
			w.exec(t, `DELETE FROM sqlite_sequence WHERE name = 'outbox_event'`)
		} else {
			w.exec(t, `UPDATE `+w.table("outbox_position")+` SET last = 0`)
		}
		fresh := publishNamed(t, a, "fresh", 5, payload.DeployLive)
		seen, _ := follow(t, a, outbox.EventFilter{}, cursor, 5)
		require.Equal(t, fresh, seen)
	})
}
