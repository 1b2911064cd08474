package render

import (
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

const (
	deployStarted = "deploy_started"
	deployEnded   = "deploy_ended"
)

// statuses maps the statuses of a deploy that has ended.
var statuses = map[string]payload.Status{
	"succeeded": payload.StatusSuccess,
	"failed":    payload.StatusFailure,
	"canceled":  payload.StatusCancelled,
}

func (c *config) mapEvent(b *inbound.Builder, event inbound.Node) error {
	data := event.Get("data")
	kind := event.Get("type").Text()
	switch kind {
	case deployStarted:
		b.Status = payload.StatusInProgress
	case deployEnded:
		b.Lookup(statuses, data.Get("status"))
	default:
		return inbound.Ignore("type is %s", inbound.Quote(kind))
	}
	at := event.Get("timestamp")
	b.At(b.Time("startedAt", at), at, kind == deployStarted)
	b.Environment = c.environment
	b.Service = b.Text("service", data.Get("serviceName"), data.Get("serviceId"))
	b.SetMeta("event", kind)
	b.Meta("eventId", data.Get("id"))
	b.Meta("serviceId", data.Get("serviceId"))
	return nil
}
