package cdevents

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/deployhook/deployhook/payload"
)

// The events about incidents.
const (
	incidentDetected = "incident.detected"
	incidentReported = "incident.reported"
	incidentResolved = "incident.resolved"
)

// incidentContent holds the members that those events have in common.
type incidentContent struct {
	Description text       `json:"description,omitzero"`
	Environment *reference `json:"environment,omitzero"`
	Service     *reference `json:"service,omitzero"`
	TicketURI   text       `json:"ticketURI,omitzero"`
}

// Incident returns the record of the incident that the event is about. It wraps
// [payload.ErrIgnored] for an event that is not about an incident.
//
//	incident.detected, .reported    openedAt is the event's time
//	incident.resolved               resolvedAt is the event's time
//
// The subject is the incident's ID. Service, environment, description and
// ticket URI come from the subject's content. Members that the event lacks come
// from base.
func (e *Event) Incident(base payload.Incident) (*payload.Incident, error) {
	switch e.kind {
	case incidentDetected, incidentReported, incidentResolved:
	default:
		return nil, e.ignored("events of this type are not about an incident")
	}
	if !strings.HasPrefix(e.Type(), standardPrefix+e.kind+".0.") {
		return nil, e.ignored("this version of the type is not known here")
	}
	var c incidentContent
	if err := at("subject.content", read(e.doc.Subject.Content, &c)); err != nil {
		return nil, err
	}
	i := base
	i.IncidentID = either(e.Subject(), base.IncidentID)
	i.UpdatedAt = e.occurred
	if e.kind == incidentResolved {
		i.ResolvedAt = e.occurred
	} else {
		i.OpenedAt = e.occurred
	}
	if c.Environment != nil {
		i.Environment = either(string(c.Environment.ID), base.Environment)
	}
	if c.Service != nil {
		i.Service = either(string(c.Service.ID), base.Service)
	}
	if title := string(c.Description); len(title) <= maxTitle {
		i.Title = either(title, base.Title)
	}
	if link, ok := payload.CleanURL(string(c.TicketURI)); ok {
		i.URL = link
	}
	if err := i.Validate(); err != nil {
		return nil, fmt.Errorf("cdevents: event as an incident: fill what it lacks through base: %w", err)
	}
	return &i, nil
}

// maxTitle bounds the description that becomes a title, in bytes.
const maxTitle = 1024

// NewIncidentDecoder returns a decoder of incidents, for the incident endpoint
// of package deployments. It reads the CDEvent from the body alone, in
// structured or binary mode. base supplies what an event lacks, as for
// [NewDecoder]. Nil means that nothing is supplied.
func NewIncidentDecoder(base func(ctx context.Context, e *Event) (payload.Incident, error)) func(ctx context.Context, body []byte) (*payload.Incident, error) {
	return func(ctx context.Context, body []byte) (*payload.Incident, error) {
		e, err := parseBody(body)
		if err != nil {
			return nil, err
		}
		var supplied payload.Incident
		if _, err := e.Incident(payload.Incident{IncidentID: "x"}); base != nil && !errors.Is(err, payload.ErrIgnored) {
			if supplied, err = base(ctx, e); err != nil {
				return nil, baseError(err)
			}
		}
		return e.Incident(supplied)
	}
}
