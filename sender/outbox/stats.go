package outbox

import (
	"context"
	"time"
)

const (
	// MaxStatsEndpoints is the maximum number of endpoints in [Stats].
	MaxStatsEndpoints = 100
	// StatsAge is the maximum age of [Stats].
	StatsAge = 5 * time.Second
)

// Backlog is what waits for an attempt.
type Backlog struct {
	// Pending counts the deliveries that wait for an attempt or have one now.
	Pending Count `json:"pending"`
	// Due counts those of them whose time for the next attempt has come
	// ([Delivery.NextAt]). The endpoint's circuit breaker, rate limit or
	// concurrency may hold them back.
	Due Count `json:"due"`
	// OldestDue is when the first of them became due. It is zero if none is due.
	OldestDue time.Time `json:"oldest_due,omitzero"`
	// InFlight counts those of Pending on which a process is working now.
	InFlight Count `json:"in_flight"`
}

// Stats says how much an outbox, or one app of it, has to do.
//
// While there are more than 10,000 pending deliveries, Due and OldestDue are
// those of the 10,000 that were published first, and so are the figures of the
// endpoints. More is then set.
type Stats struct {
	// AsOf is when it was counted. It is up to five seconds before the call
	// ([StatsAge]), since calls share the result.
	AsOf time.Time `json:"as_of"`
	Backlog
	// States counts the deliveries by state: [Pending], [Delivered], [Failed],
	// [Canceled] and [Superseded]. In the Stats of an outbox with more than 1,000
	// apps, the last two and Delivered are those of the first 1,000.
	States map[State]Count `json:"states"`
	// Endpoints has the endpoints with pending deliveries or dead letters, at most
	// 100 ([MaxStatsEndpoints]). Those with most due come first, then those with
	// most pending.
	Endpoints []EndpointBacklog `json:"endpoints"`
	// EndpointStates counts the endpoints by state. It and Breakers are for the
	// operator, and empty in the Stats of an app.
	EndpointStates map[EndpointState]Count `json:"endpoint_states,omitempty"`
	Breakers       Breakers                `json:"breakers,omitzero"`
	// EventsWithoutPosition counts the events that have no place among those that
	// consumers poll. A call of [App.Events] gives them one, and a started outbox
	// does so about once a minute. OldestWithoutPosition is when the first of them
	// was published. Both are zero on SQLite.
	EventsWithoutPosition Count     `json:"events_without_position"`
	OldestWithoutPosition time.Time `json:"oldest_without_position,omitzero"`
}

// EndpointBacklog is one endpoint's part of [Stats].
type EndpointBacklog struct {
	App      string `json:"app"`
	Endpoint string `json:"endpoint"`
	// State is the endpoint's state. It is empty if the endpoint was deleted.
	State EndpointState `json:"state,omitempty"`
	// BreakerOpenUntil is when the circuit breaker admits the next attempt. It is
	// zero if the breaker is closed.
	BreakerOpenUntil time.Time `json:"breaker_open_until,omitzero"`
	Backlog
	// Failed counts the dead letters. If there are more than 10,000, these are
	// among the latest 10,000 of all endpoints.
	Failed Count `json:"failed"`
}

// EndpointStats says how much one endpoint has to do and has done.
type EndpointStats struct {
	// AsOf is when it was counted, up to five seconds before the call
	// ([StatsAge]).
	AsOf time.Time `json:"as_of"`
	EndpointBacklog
	// States counts the endpoint's deliveries by state, as in [Stats].
	States map[State]Count `json:"states"`
}

// Stats returns figures about all apps, for the operator. What it reads does
// not grow with the tables.
//
// The figures may be up to five seconds old, see [Stats.AsOf]. The first call
// reads them, and so does a call after a pause of 30 seconds. In between, they
// are read again in the background about every two and a half seconds, and
// calls do not wait. If the background reads cannot keep up, because the
// database is slow or there are calls about many apps and endpoints, a call
// waits for figures that are recent enough. It never returns older ones.
//
// A read in progress is shared by all calls that wait for it, and continues
// when the context of the first one ends. It fails after a minute. An Outbox
// whose figures have not been asked for within 30 seconds reads nothing.
func (o *Outbox) Stats(ctx context.Context) (Stats, error) {
	if err := o.open(); err != nil {
		return Stats{}, err
	}
	all, err := o.stats.get(ctx, scope{})
	return all.copy(), wrap("counting", err)
}

// Stats returns figures about the app, as [Outbox.Stats] does about all, or
// [ErrUnknownApp].
func (a *App) Stats(ctx context.Context) (Stats, error) {
	if err := a.open(); err != nil {
		return Stats{}, err
	}
	if err := a.registered(ctx); err != nil {
		return Stats{}, err
	}
	all, err := a.o.stats.get(ctx, scope{app: a.name})
	return all.copy(), wrap("counting", err)
}

// EndpointStats returns figures about one endpoint, or [ErrUnknownEndpoint].
// They may be up to five seconds old, see [EndpointStats.AsOf] and
// [Outbox.Stats].
func (a *App) EndpointStats(ctx context.Context, id string) (EndpointStats, error) {
	if err := a.open(); err != nil {
		return EndpointStats{}, err
	}
	e, err := a.Endpoint(ctx, id)
	if err != nil {
		return EndpointStats{}, err
	}
	all, err := a.o.stats.get(ctx, scope{app: a.name, endpoint: id})
	if err != nil {
		return EndpointStats{}, wrap("counting", err)
	}
	s := EndpointStats{AsOf: all.AsOf, EndpointBacklog: EndpointBacklog{App: a.name, Endpoint: id}, States: all.copy().States}
	s.State, s.BreakerOpenUntil = e.State, e.BreakerOpenUntil
	s.Backlog, s.Failed = all.Backlog, all.States[Failed]
	return s, nil
}
