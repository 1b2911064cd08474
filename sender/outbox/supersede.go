package outbox

import (
	"context"
	"fmt"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
)

// isTerminal reports whether an event ends its deployment.
func isTerminal(e *payload.Event) bool {
	switch e.Type {
	case payload.DeployLive, payload.DeployFailed, payload.DeployRolledBack:
		return true
	}
	return false
}

// isIntermediate reports whether a terminal event makes an event obsolete.
func isIntermediate(t payload.Type) bool {
	switch t {
	case payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed:
		return true
	}
	return false
}

// dropStale drops stale deliveries, those that wait when a terminal event
// comes, and those that come after one. An event that is younger than the
// terminal one is not stale, since the same deployment runs once more. A
// terminal event that the endpoint's format can't express makes nothing stale,
// since the endpoint never gets it. A delivery that is in flight while it is
// superseded counts as delivered if it succeeds. A replayed delivery is never
// stale.
func (p *publisher) dropStale(ctx context.Context, tx *jobdb.Tx, d *draft, deliveries []*newDelivery) error {
	switch {
	case isTerminal(&d.event):
		return p.supersedeEarlier(ctx, tx, d, deliveries)
	case isIntermediate(d.event.Type):
		return supersedeLate(ctx, tx, d, deliveries)
	}
	return nil
}

func (p *publisher) supersedeEarlier(ctx context.Context, tx *jobdb.Tx, d *draft, deliveries []*newDelivery) error {
	var ended []sequence
	for _, n := range deliveries {
		if n.state != Pending {
			continue
		}
		superseded, err := tx.Exec(ctx, `WITH stale AS MATERIALIZED (SELECT id FROM {schema}outbox_delivery
				WHERE endpoint = ? AND deployment = ? AND state = 'pending' AND deployment <> '' AND event_at <= ? AND replays = 0 AND type IN (?, ?, ?)
				ORDER BY id`+inOrder(p.db)+`)
			UPDATE {schema}outbox_delivery SET state = ?, done_at = ?, next_at = 0, last_error = ? WHERE id IN (SELECT id FROM stale) AND state = ?`,
			n.endpoint, d.event.DeploymentID, micros(d.event.Timestamp),
			string(payload.DeployStarted), string(payload.BuildCompleted), string(payload.HealthCheckPassed),
			string(Superseded), micros(d.at), fmt.Sprintf("superseded by %s %s", d.event.Type, n.id), string(Pending))
		if err != nil {
			return err
		}
		if superseded > 0 {
			ended = append(ended, sequence{n.endpoint, n.deployment})
		}
	}
	return p.ordering.unblock(ctx, tx, ended)
}

func supersedeLate(ctx context.Context, tx *jobdb.Tx, d *draft, deliveries []*newDelivery) error {
	for _, n := range deliveries {
		if n.state != Pending {
			continue
		}
		var later int64
		err := tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT 1 AS found FROM {schema}outbox_delivery
			WHERE endpoint = ? AND deployment = ? AND terminal = 1 AND event_at >= ? LIMIT 1) AS ending`,
			n.endpoint, d.event.DeploymentID, micros(d.event.Timestamp)).Scan(&later)
		if err != nil {
			return err
		}
		if later > 0 {
			n.state, n.reason = Superseded, "superseded: the deployment was over when it was published"
		}
	}
	return nil
}
