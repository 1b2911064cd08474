package api

import (
	"context"
	"net/http"

	"github.com/deployhook/deployhook/sender/outbox"
)

// deliveryList is the log of one app or of all.
type deliveryList func(context.Context, outbox.DeliveryFilter, outbox.Page) (outbox.Deliveries, error)

func listApps(c *call) (*answer, error) {
	q := c.query("cursor", "limit")
	p := q.page()
	if q.err != nil {
		return nil, q.err
	}
	page, err := c.outbox.Apps(c.ctx(), p)
	if err != nil {
		return nil, err
	}
	return ok(page), nil
}

func registerApp(c *call) (*answer, error) {
	if err := c.outbox.RegisterApp(c.ctx(), c.params["app"]); err != nil {
		return nil, err
	}
	return ok(map[string]string{"app": c.params["app"]}), nil
}

func getAllStats(c *call) (*answer, error) { return stats(c.outbox.Stats(c.ctx())) }

func getStats(c *call) (*answer, error) { return stats(c.app.Stats(c.ctx())) }

func stats(s outbox.Stats, err error) (*answer, error) {
	if err != nil {
		return nil, err
	}
	return ok(s), nil
}

func listEvents(c *call) (*answer, error) {
	q := c.query("cursor", "limit", "type", "since")
	p, f := q.page(), outbox.EventFilter{Types: q.list("type"), Since: q.time("since")}
	if q.err != nil {
		return nil, q.err
	}
	page, err := c.app.Events(c.ctx(), f, p)
	if err != nil {
		return nil, err
	}
	return ok(page), nil
}

func eraseEvent(c *call) (*answer, error) {
	return &answer{status: http.StatusNoContent}, c.app.EraseEvent(c.ctx(), c.params["event"])
}
