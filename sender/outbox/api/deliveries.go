package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// filterParameters select deliveries.
var filterParameters = []string{"endpoint", "event_id", "type", "deployment_id", "state", "answer", "since", "until", "replay"}

// filter returns which deliveries are asked for.
func (q *query) filter() (f outbox.DeliveryFilter) {
	types := q.list("type")
	if len(types) > 1 {
		q.keep(wrongField("type", "parameter_repeated"))
	}
	f = outbox.DeliveryFilter{
		Endpoint: q.text("endpoint"), EventID: q.text("event_id"), Type: payload.Type(q.text("type")), DeploymentID: q.text("deployment_id"),
		Since: q.time("since"), Until: q.time("until"), Replay: q.text("replay"), Answer: outbox.Answer(q.text("answer")),
	}
	for _, s := range q.list("state") {
		f.States = append(f.States, outbox.State(s))
	}
	return f
}

// forOperator adds members to the JSON form of a value.
type forOperator struct {
	value any
	more  map[string]any
}

// MarshalJSON returns the object with its further members.
func (f forOperator) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(f.value)
	if err != nil || len(f.more) == 0 {
		return text, err
	}
	more, err := json.Marshal(f.more)
	if err != nil {
		return nil, err
	}
	return slices.Concat(text[:len(text)-1], []byte(","), more[1:]), nil
}

// only returns the members that are not empty.
func only(members map[string]string) map[string]any {
	out := map[string]any{}
	for name, text := range members {
		if text != "" {
			out[name] = text
		}
	}
	return out
}

// delivery is what the caller sees of a delivery. Attempts are left out if they
// are nil.
func (c *call) delivery(d *outbox.Delivery, attempts []outbox.Attempt) any {
	more := map[string]any{}
	if c.access.Operator {
		more = only(map[string]string{"operator_error": d.LastError})
	}
	if attempts != nil {
		list := make([]any, len(attempts))
		for i := range attempts {
			list[i] = c.attempt(&attempts[i])
		}
		more["attempt_log"] = list
	}
	return forOperator{*d, more}
}

func (c *call) attempt(a *outbox.Attempt) any {
	if !c.access.Operator {
		return *a
	}
	return forOperator{*a, only(map[string]string{"operator_error": a.Error, "address": a.Addr})}
}

func listDeliveries(c *call) (*answer, error) { return c.deliveries(c.app.Deliveries) }

func listAllDeliveries(c *call) (*answer, error) { return c.deliveries(c.outbox.Deliveries) }

// deliveries returns a page of a list.
func (c *call) deliveries(list deliveryList) (*answer, error) {
	q := c.query(append([]string{"cursor", "limit"}, filterParameters...)...)
	f, p := q.filter(), q.page()
	if q.err != nil {
		return nil, q.err
	}
	page, err := list(c.ctx(), f, p)
	if err != nil {
		return nil, err
	}
	out := struct {
		Items []any  `json:"items"`
		Next  string `json:"next,omitempty"`
	}{make([]any, len(page.Items)), page.Next}
	for i := range page.Items {
		out.Items[i] = c.delivery(&page.Items[i], nil)
	}
	return ok(out), nil
}

func getDelivery(c *call) (*answer, error) {
	d, err := c.app.Delivery(c.ctx(), c.params["delivery"])
	if err != nil {
		return nil, err
	}
	attempts, err := c.app.Attempts(c.ctx(), d.ID)
	if err != nil {
		return nil, err
	}
	if attempts == nil {
		attempts = []outbox.Attempt{}
	}
	return ok(c.delivery(&d, attempts)), nil
}

func resendDelivery(c *call) (*answer, error) {
	id := c.params["delivery"]
	if err := c.app.Replay(c.ctx(), id); err != nil {
		return nil, err
	}
	d, err := c.app.Delivery(c.ctx(), id)
	if err != nil {
		return nil, err
	}
	return &answer{status: http.StatusAccepted, body: c.delivery(&d, nil)}, nil
}

// replayFilter selects the deliveries of a replay.
type replayFilter struct {
	Endpoint     string         `json:"endpoint"`
	EventID      string         `json:"event_id"`
	Type         payload.Type   `json:"type"`
	DeploymentID string         `json:"deployment_id"`
	States       []outbox.State `json:"states"`
	Answer       outbox.Answer  `json:"answer"`
	Since        time.Time      `json:"since"`
	Until        time.Time      `json:"until"`
	Replay       string         `json:"replay"`
}

// inFilter names the member of a body that an error is about. In a query it has
// another name.
func inFilter(err error) error {
	fault, ok := errors.AsType[*outbox.FieldError](err)
	if !ok || fault.Field != "States" && fault.Field != "Answer" {
		return err
	}
	p := outboxProblem(http.StatusUnprocessableEntity, err)
	p.Errors[0].Field = "filter." + strings.ToLower(fault.Field)
	return p
}

func listReplays(c *call) (*answer, error) {
	q := c.query("cursor", "limit")
	p := q.page()
	if q.err != nil {
		return nil, q.err
	}
	page, err := c.app.Replays(c.ctx(), p)
	if err != nil {
		return nil, err
	}
	return ok(page), nil
}

func startReplay(c *call) (*answer, error) {
	var in struct {
		pace

		Filter replayFilter `json:"filter"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	s, err := c.app.ReplayRange(c.ctx(), outbox.DeliveryFilter(in.Filter), in.options()...)
	if err != nil {
		return nil, inFilter(err)
	}
	return &answer{status: http.StatusAccepted, body: s, location: "replays/" + s.ID}, nil
}

func countReplay(c *call) (*answer, error) {
	var in struct {
		Filter replayFilter `json:"filter"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	n, err := c.app.CountReplay(c.ctx(), outbox.DeliveryFilter(in.Filter))
	if err != nil {
		return nil, inFilter(err)
	}
	return ok(map[string]outbox.Count{"deliveries": n}), nil
}

func getReplay(c *call) (*answer, error) {
	s, err := c.app.ReplayStatus(c.ctx(), c.params["replay"])
	if err != nil {
		return nil, err
	}
	return ok(s), nil
}

func cancelReplay(c *call) (*answer, error) {
	if err := c.app.CancelReplay(c.ctx(), c.params["replay"]); err != nil {
		return nil, err
	}
	return getReplay(c)
}
