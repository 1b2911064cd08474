package outbox_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// erasedText is a text that nobody may find after an erasure.
const erasedText = "canary-7f3a91c2"

// echo is a format that repeats the event in its own words.
type echo struct{}

func (echo) Encode(_ context.Context, e *payload.Event) (string, []byte, error) {
	return "text/plain", []byte("failed: " + e.Error), nil
}

func secretEvent() *payload.Event {
	e := event(payload.DeployFailed, "dep_1")
	e.Error = erasedText
	return e
}

func TestEraseEvent_LeavesNoTrace(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithFormat("echo", echo{}), outbox.WithSchedule(outbox.SchedulePlatform, platformIn(2)))
		a := o.App("shop")
		good, down := newHook(t, nil), newHook(t, always(503))
		create(t, a, endpointAt(good.URL))
		text := endpointAt(good.URL + "/text")
		text.BodyFormat = "echo"
		create(t, a, text)
		create(t, a, endpointAt(down.URL))
		kept := publish(t, a, event(payload.DeployLive, "dep_0"))
		settled(t, o, kept.Deliveries[2].ID, outbox.Failed)
		down.reply("X-Reason", erasedText)
		p := publish(t, a, secretEvent(), outbox.WithEventID("one"))
		require.Len(t, p.Deliveries, 3)
		settled(t, o, p.Deliveries[0].ID, outbox.Delivered)
		settled(t, o, p.Deliveries[1].ID, outbox.Delivered)
		settled(t, o, p.Deliveries[2].ID, outbox.Failed)
		require.NotEmpty(t, w.tablesWith(t, erasedText), "the search must find what is there")

		require.NoError(t, a.EraseEvent(t.Context(), "one"))
		require.Empty(t, w.tablesWith(t, erasedText))
		for _, ref := range p.Deliveries {
			d, err := a.Delivery(t.Context(), ref.ID)
			require.NoError(t, err)
			require.Empty(t, d.Body)
			require.Equal(t, "dep_1", d.DeploymentID)
			attempts, err := a.Attempts(t.Context(), ref.ID)
			require.NoError(t, err)
			require.Len(t, attempts, d.Attempts)
			require.NotZero(t, attempts[0].Status)
			require.Empty(t, attempts[0].Body)
			require.Empty(t, attempts[0].ResponseHeader)
			require.ErrorIs(t, a.Replay(t.Context(), ref.ID), outbox.ErrInvalid)
		}
		page, err := a.Events(t.Context(), outbox.EventFilter{Types: []string{"deploy.failed"}}, outbox.Page{})
		require.NoError(t, err)
		require.Len(t, page.Items, 1)
		require.NotZero(t, page.Items[0].ErasedAt)
		require.Empty(t, page.Items[0].Body)
		require.True(t, publish(t, a, secretEvent(), outbox.WithEventID("one")).Duplicate)
		require.Empty(t, w.tablesWith(t, erasedText))

		require.NoError(t, a.EraseEvent(t.Context(), "one"), "again")
		require.ErrorIs(t, a.EraseEvent(t.Context(), "unknown"), outbox.ErrUnknownEvent)
		require.ErrorIs(t, o.App("blog").EraseEvent(t.Context(), kept.EventID), outbox.ErrUnknownEvent)
		d, err := a.Delivery(t.Context(), kept.Deliveries[0].ID)
		require.NoError(t, err)
		require.NotEmpty(t, d.Body, "other events stay")
	})
}

// A text that was deleted from the tables is still in a SQLite file, unless it
// is overwritten.
func TestEraseEvent_CleansTheFile(t *testing.T) {
	t.Parallel()
	w := &world{path: outbox.NewSQLite(t)}
	o := w.start(t)
	a := o.App("shop")
	create(t, a, endpointAt(newHook(t, nil).URL))
	long := secretEvent()
	require.NoError(t, long.Metadata.Set("notes", string(bytes.Repeat([]byte(erasedText+" "), 2000)))) // overflow pages, too
	for range 3 {
		publish(t, a, event(payload.DeployLive, "dep_0"))
	}
	p := publish(t, a, long, outbox.WithEventID("one"))
	settled(t, o, p.Deliveries[0].ID, outbox.Delivered)
	require.True(t, w.fileContains(t, erasedText), "the search must find what is there")
	require.NoError(t, a.EraseEvent(t.Context(), "one"))
	require.False(t, w.fileContains(t, erasedText))
}

// reply adds a header to all further answers.
func (h *hook) reply(name, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.header.Set(name, value)
}

// tablesWith returns the columns of the outbox's tables that contain a text.
func (w *world) tablesWith(t testing.TB, text string) (found []string) {
	t.Helper()
	columns := `SELECT m.name || ' ' || c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'`
	contains := `instr(CAST(%s AS text), '` + text + `') > 0`
	if w.pool != nil {
		columns = `SELECT table_name || ' ' || column_name FROM information_schema.columns WHERE table_schema = 'deployhook_outbox'`
		contains = `position('` + text + `' IN encode(convert_to(%[1]s::text, 'UTF8'), 'escape') || ' ' || encode(decode(CASE WHEN %[1]s::text LIKE '\\x%%' THEN substr(%[1]s::text, 3) ELSE '' END, 'hex'), 'escape')) > 0`
	}
	for _, c := range w.queryTexts(t, columns) {
		table, column, _ := strings.Cut(c, " ")
		if w.queryInt(t, `SELECT count(*) FROM `+w.table(table)+` WHERE `+fmt.Sprintf(contains, `"`+column+`"`)) > 0 {
			found = append(found, c)
		}
	}
	return found
}

// A reader that began before the erasure still sees the event, so the file must
// keep it.
func TestEraseEvent_WhileAReaderUsesTheFile(t *testing.T) {
	t.Parallel()
	w := &world{path: outbox.NewSQLite(t)}
	o := w.open(t)
	a := o.App("shop")
	require.NoError(t, o.RegisterApp(t.Context(), "shop"))
	publish(t, a, secretEvent(), outbox.WithEventID("one"))
	db, err := lite(w.path)
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT id FROM outbox_event`)
	require.NoError(t, err)
	require.True(t, rows.Next())

	err = a.EraseEvent(t.Context(), "one")
	require.ErrorIs(t, err, outbox.ErrFileInUse)
	require.Empty(t, w.tablesWith(t, erasedText))
	require.NoError(t, rows.Close())
	require.NoError(t, a.EraseEvent(t.Context(), "one"))
	require.False(t, w.fileContains(t, erasedText))
}

func (w *world) fileContains(t testing.TB, text string) bool {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		content, err := os.ReadFile(w.path + suffix)
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		if bytes.Contains(content, []byte(text)) {
			return true
		}
	}
	return false
}

func TestEraseEvent_CancelsWhatWaits(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithSchedule("hourly", hourly))
		a := o.App("shop")
		down := newHook(t, always(503))
		c := endpointAt(down.URL)
		c.Schedule = "hourly"
		create(t, a, c)
		p := publish(t, a, secretEvent(), outbox.WithEventID("one"))
		eventually(t, func() bool { return find(t, o, p.Deliveries[0].ID).Attempts == 1 }, "no attempt")
		require.NoError(t, a.EraseEvent(t.Context(), "one"))
		d := find(t, o, p.Deliveries[0].ID)
		require.Equal(t, outbox.Canceled, d.State)
		require.Equal(t, "the event was erased", d.LastError)
		require.Empty(t, w.tablesWith(t, erasedText))
		s, err := a.ReplayRange(t.Context(), outbox.DeliveryFilter{})
		require.NoError(t, err)
		require.Equal(t, 1, s.Skipped)
	})
}

// The answer to an attempt that was in flight must not bring the text back.
func TestEraseEvent_DuringAnAttempt(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		a := o.App("shop")
		arrived, proceed := make(chan struct{}), make(chan struct{})
		h := newHook(t, func(int, received) int {
			close(arrived)
			<-proceed
			return 200
		})
		h.header.Set("X-Echo", erasedText)
		create(t, a, endpointAt(h.URL))
		p := publish(t, a, secretEvent(), outbox.WithEventID("one"))
		<-arrived
		require.NoError(t, a.EraseEvent(t.Context(), "one"))
		close(proceed)
		settled(t, o, p.Deliveries[0].ID, outbox.Delivered)
		require.Empty(t, w.tablesWith(t, erasedText))
	})
}

func TestWithBodyRetention(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		w.start(t, outbox.WithSchedule("hourly", hourly)) // and prunes nothing by itself
		o := w.open(t, outbox.WithSchedule("hourly", hourly), outbox.WithBodyRetention(24*time.Hour))
		a := o.App("shop")
		good, down := newHook(t, nil), newHook(t, always(503))
		create(t, a, endpointAt(good.URL))
		done := publish(t, a, secretEvent(), outbox.WithEventID("one"))
		settled(t, o, done.Deliveries[0].ID, outbox.Delivered)
		c := endpointAt(down.URL)
		c.Schedule = "hourly"
		create(t, a, c)
		waits := publish(t, a, secretEvent(), outbox.WithEventID("two"))
		settled(t, o, waits.Deliveries[0].ID, outbox.Delivered)
		_, err := o.Prune(t.Context())
		require.NoError(t, err)
		require.NotEmpty(t, find(t, o, done.Deliveries[0].ID).Body)

		w.exec(t, `UPDATE `+w.table("outbox_body")+` SET created_at = created_at - 90000000000`)
		n, err := o.Prune(t.Context())
		require.NoError(t, err)
		require.Zero(t, n)
		d := find(t, o, done.Deliveries[0].ID)
		require.Empty(t, d.Body)
		require.Equal(t, outbox.Delivered, d.State)
		require.NotEmpty(t, find(t, o, waits.Deliveries[1].ID).Body, "a delivery waits to send it")
		require.NotEmpty(t, find(t, o, waits.Deliveries[0].ID).Body, "it is the same body")
	})
}
