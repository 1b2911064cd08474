package outbox

import (
	"context"
	"fmt"

	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/payload"
)

// isTerminal reports whether an event says that its deployment is over.
func isTerminal(e *payload.Event) bool {
	switch e.Type {
	case payload.DeployLive, payload.DeployFailed, payload.DeployRolledBack:
		return true
	}
	return false
}

// isPassing reports whether an event is about a stage that a terminal event makes uninteresting.
func isPassing(t payload.Type) bool {
	switch t {
	case payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed:
		return true
	}
	return false
}

// applySupersession drops stale news in both directions: what is waiting when a terminal event comes, and what comes after
// one. An event that is younger than the terminal one is not stale: the same deployment runs once more. One that is in
// flight while it is superseded counts as delivered if it is. What someone replays is wanted, however stale.
func (o *Outbox) applySupersession(ctx context.Context, tx *riverdb.Tx, d *draft, targets []*newDelivery) error {
	switch {
	case isTerminal(&d.event):
		return o.supersedeEarlier(ctx, tx, d, targets)
	case isPassing(d.event.Type):
		return o.supersedeLate(ctx, tx, d, targets)
	}
	return nil
}

func (o *Outbox) supersedeEarlier(ctx context.Context, tx *riverdb.Tx, d *draft, targets []*newDelivery) error {
	for _, t := range targets {
		_, err := tx.Exec(ctx, `UPDATE {schema}outbox_delivery SET state = ?, done_at = ?, next_at = 0, last_error = ?
			WHERE deployment = ? AND endpoint = ? AND state = ? AND replays = 0 AND type IN (?, ?, ?) AND event_at <= ?`,
			string(Superseded), micros(d.at), fmt.Sprintf("superseded by %s %s", d.event.Type, t.id),
			d.event.DeploymentID, t.endpoint, string(Pending),
			string(payload.DeployStarted), string(payload.BuildCompleted), string(payload.HealthCheckPassed), micros(d.event.Timestamp))
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *Outbox) supersedeLate(ctx context.Context, tx *riverdb.Tx, d *draft, targets []*newDelivery) error {
	for _, t := range targets {
		if t.state != Pending {
			continue
		}
		var n int64
		err := tx.QueryRow(ctx, `SELECT count(*) FROM {schema}outbox_delivery
			WHERE deployment = ? AND endpoint = ? AND terminal = 1 AND event_at >= ?`,
			d.event.DeploymentID, t.endpoint, micros(d.event.Timestamp)).Scan(&n)
		if err != nil {
			return err
		}
		if n > 0 {
			t.state, t.reason = Superseded, "superseded: the deployment was over when it was published"
		}
	}
	return nil
}
