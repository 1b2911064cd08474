package console

import (
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// replayTimeout bounds how long one request replays deliveries. What is left
// can be replayed by another.
const replayTimeout = 20 * time.Second

// askReplay asks before an effect may take place twice.
func askReplay(v *view) error {
	d, err := v.delivery()
	if err != nil {
		return err
	}
	if d.State == inbox.Pending {
		return inbox.ErrPending
	}
	text := []string{"The handler is called again, with all attempts available."}
	if d.State == inbox.Handled {
		text = append(text, "It was handled before, so its effect takes place again.")
	}
	return v.render(page{
		template: "confirm.html", title: "Replay " + string(d.Type) + " of " + webui.Clip(d.DeploymentID, 100) + "?", current: partInbox,
		crumbs: v.crumbs("Inbox", "inbox", "Delivery", deliveryPath(d.ID)),
		data:   webui.Confirmation{CanWrite: v.canAct(), Text: text, Button: "Replay", Back: v.root + deliveryPath(d.ID), Danger: d.State == inbox.Handled},
	})
}

func replayDelivery(v *view) error {
	d, err := v.delivery()
	if err != nil {
		return err
	}
	ctx, cancel := v.bounded(pageTimeout)
	defer cancel()
	if err := v.inbox.Replay(ctx, d.ID); err != nil {
		return err
	}
	v.did("a delivery was replayed", slog.Int64("id", d.ID))
	return v.redirect(deliveryPath(d.ID) + "?done=replayed")
}

// deadFilter is the filter of the dead letters to replay.
func deadFilter(q url.Values) (inboxFilter, inbox.Filter) {
	f := readInboxFilter(q)
	f.State = ""
	return f, inbox.Filter{State: inbox.Dead, DeploymentID: f.Deployment, Error: f.Error}
}

// askReplayAll counts before anything is replayed.
func askReplayAll(v *view) error {
	f, filter := deadFilter(v.r.URL.Query())
	ctx, cancel := v.bounded(pageTimeout)
	defer cancel()
	count, err := v.inbox.CountDead(ctx, filter)
	if err != nil {
		return err
	}
	return v.render(page{
		template: "replay.html", title: "Replay dead letters", current: partInbox, crumbs: v.crumbs("Inbox", "inbox"), flash: v.replayed(),
		data: struct {
			scope
			Filter inboxFilter
			Count  inbox.Count
			Hidden map[string]string
		}{v.scope(), f, count, map[string]string{"error": f.Error, "deployment": f.Deployment}},
	})
}

// replayed says what the form before has done. The number is all that comes
// from the URL.
func (v *view) replayed() webui.Flash {
	n, err := strconv.Atoi(v.r.URL.Query().Get("replayed"))
	if err != nil || n < 0 {
		return webui.Flash{}
	}
	text := "1 delivery is pending again. A worker handles it"
	if n != 1 {
		text = fmt.Sprintf("%d deliveries are pending again. Workers handle them", n)
	}
	return webui.Flash{Kind: "good", Text: text + " with all attempts available."}
}

func replayAll(v *view) error {
	f, filter := deadFilter(v.r.PostForm)
	ctx, cancel := v.bounded(replayTimeout)
	defer cancel()
	n, err := v.inbox.ReplayDead(ctx, filter)
	if n > 0 {
		v.did("dead letters were replayed", slog.Int("deliveries", n), slog.String("error", f.Error), slog.String("deployment_id", f.Deployment))
	}
	// The page that follows counts what is left when the time is up.
	if err != nil && (n == 0 || ctx.Err() == nil) {
		return err
	}
	q := "replayed=" + strconv.Itoa(n)
	if f.Any() {
		q = string(f.Query("")) + "&" + q
	}
	return v.redirect("inbox/replay?" + q)
}
