package console

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// reason is why a delivery is in its state, in one sentence, and what to do.
type reason struct{ Class, Text, Do string }

// patience is how long a new delivery may wait before the page says what could
// be wrong.
const patience = time.Minute

func reasonOf(d *inbox.Delivery, now time.Time) reason {
	line := webui.Clip(deliveryRow{Delivery: *d}.ErrorLine(), 300)
	switch d.State {
	case inbox.Handled:
		return reason{"good", "The handler has handled it.", ""}
	case inbox.Superseded:
		return reason{"idle", "It was not handled, because a later event of the deployment was handled first.", "Nothing has to be done."}
	case inbox.Dead:
		return reason{"bad", cmp.Or(line, "The handler failed."), cmp.Or(adviceFor(d.LastError),
			"Nothing more is tried. Fix the cause, and replay the delivery.")}
	}
	switch {
	case d.Attempts > 0:
		return reason{"wait", "The last attempt failed: " + cmp.Or(line, "no error was given"), cmp.Or(adviceFor(d.LastError), "It is tried again by itself.")}
	case now.Sub(d.ReceivedAt) > patience:
		return reason{"wait", "It still waits for its first attempt.", "Workers may be busy with older deliveries. If none is handled at all, check that a process has called Start."}
	}
	return reason{"wait", "It waits for its first attempt.", ""}
}

// advice is for errors of the inbox itself, which do not depend on the handler.
var advice = []struct {
	err error
	do  string
}{
	{inbox.ErrContradiction, "The sender reported two different ends of one deployment. Look at the other deliveries of it before you replay this one."},
	{inbox.ErrTimeout, "The handler took longer than it may. Make it faster, or give it more time with WithHandlerTimeout. Then replay the delivery."},
	{inbox.ErrNotCompleted, "The handler returned without committing its transaction. Fix it, and replay the delivery."},
}

func adviceFor(text string) string {
	for _, a := range advice {
		if strings.Contains(text, a.err.Error()) {
			return a.do
		}
	}
	return ""
}

// fact is a field of an event.
type fact struct{ Name, Text string }

// factsOf are the fields of an event that are set. An event of an earlier
// release may not be readable any more.
func factsOf(body []byte) (facts []fact, problem string) {
	e, _, err := payload.DecodeEventOrEnvelope(body)
	if err != nil {
		return nil, "The body is not a valid event for this release: " + webui.Clip(err.Error(), 500)
	}
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, fact{name, webui.Clip(text, 1000)})
		}
	}
	add("App", e.App)
	add("Environment", e.Environment)
	add("Version", e.Version)
	add("Previous version", e.PreviousVersion)
	add("Error", e.Error)
	if c := e.Commit; c != nil {
		add("Commit", c.SHA)
		add("Message", c.Message)
		add("Author", c.Author)
		add("Branch", c.Branch)
	}
	add("Triggered by", e.TriggeredBy)
	add("Status", string(e.Status))
	add("URL", e.URL)
	add("Container", e.ContainerID)
	if h := e.HealthCheck; h != nil {
		text := h.URL
		if h.StatusCode != nil {
			text += " answered " + strconv.Itoa(*h.StatusCode)
		}
		add("Health check", text)
	}
	return facts, ""
}

// delivery returns the one of the path, with its body.
func (v *view) delivery() (*inbox.Delivery, error) {
	id, err := strconv.ParseInt(v.params["delivery"], 10, 64)
	if err != nil || id < 1 {
		return nil, inbox.ErrNotFound
	}
	ctx, cancel := v.bounded(pageTimeout)
	defer cancel()
	return v.inbox.Get(ctx, id)
}

func showDelivery(v *view) error {
	d, err := v.delivery()
	if err != nil {
		return err
	}
	facts, problem := factsOf(d.Body)
	return v.render(page{
		template: "delivery.html", title: string(d.Type), current: partInbox, crumbs: v.crumbs("Inbox", "inbox", "Deliveries", "inbox/deliveries"),
		live: d.State == inbox.Pending, data: struct {
			scope
			D       deliveryRow
			Reason  reason
			Facts   []fact
			Problem string
			Error   string
			Body    webui.Body
			Same    string // leads to dead letters with the same error
		}{
			v.scope(),
			deliveryRow{*d, v.root + deliveryPath(d.ID)},
			reasonOf(d, v.now), facts, problem,
			strings.TrimSpace(d.LastError), webui.NewBody(d.Body), v.root + "inbox/deliveries?" + string(inboxFilter{Deployment: d.DeploymentID}.Query("")),
		},
	})
}

func downloadBody(v *view) error {
	d, err := v.delivery()
	if err != nil {
		return err
	}
	webui.Download(v.w, "delivery_"+strconv.FormatInt(d.ID, 10), d.Body)
	return nil
}
