package outbox

import (
	"context"
	"time"
)

// Breakers says how many circuit breakers are not closed. Disabled endpoints do
// not count.
type Breakers struct {
	// Open counts the endpoints whose circuit breaker admits no attempt now.
	Open Count `json:"open"`
	// HalfOpen counts those whose pause is over and that have not accepted a
	// delivery since.
	HalfOpen Count `json:"half_open"`
	// FailingSince is when the failures of the endpoint began that has failed
	// longest of all these. It is zero without failures.
	FailingSince time.Time `json:"failing_since,omitzero"`
}

// readHealth counts the endpoints by state and the circuit breakers, for the
// operator only.
func (c *counter) readHealth(ctx context.Context, s *Stats) error {
	if c.of != (scope{}) {
		return nil
	}
	s.EndpointStates = map[EndpointState]Count{}
	for _, state := range []EndpointState{EndpointActive, EndpointFailing, EndpointDisabled} {
		var n int64
		err := c.q.QueryRow(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM {schema}outbox_endpoint WHERE state = '`+string(state)+`' LIMIT ?) AS n`,
			c.most+1).Scan(&n)
		if err != nil {
			return err
		}
		s.EndpointStates[state] = c.count(n)
	}
	return c.readBreakers(ctx, s)
}

func (c *counter) readBreakers(ctx context.Context, s *Stats) error {
	var all, open, since int64
	err := c.q.QueryRow(ctx, `SELECT COUNT(*), COUNT(open_until), COALESCE(MIN(since), 0) FROM (
			SELECT CASE WHEN breaker_open_until > ? THEN breaker_open_until END AS open_until, CASE WHEN failing_since > 0 THEN failing_since END AS since
			FROM {schema}outbox_endpoint WHERE breaker_open_until > 0 AND state <> 'disabled' ORDER BY breaker_open_until DESC LIMIT ?) AS b`,
		micros(c.now), c.most+1).Scan(&all, &open, &since)
	s.Breakers = Breakers{Open: c.count(open), HalfOpen: c.count(all - open), FailingSince: fromMicros(since)}
	if all > c.most {
		s.Breakers.Open.More, s.Breakers.HalfOpen.More = true, true
	}
	return err
}
