package inbox

import (
	"slices"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// module is the name under which the tables' version is stored.
const module = "inbox"

// jobTable has a job for each pending delivery, see [jobdb.Queue] and jobRef.
const jobTable = "inbox_job"

// steps returns the versions of the tables. Released steps never change.
//
// A delivery's round increases with each replay. A job of an earlier round
// finds that it is outdated and does nothing. trace is the text of
// Telemetry.Trace. Text columns are for queries. The
// digests in delivery_key and ordering_key decide about identity.
//
// last_error changes with each failed attempt, so no index has it. dead_error
// is its first line and changes only when a delivery becomes dead.
func steps() []jobdb.Step {
	return []jobdb.Step{slices.Concat(jobdb.QueueTable(jobTable), []string{
		`CREATE TABLE {schema}inbox_delivery (
			id            {id},
			delivery_key  {blob} NOT NULL UNIQUE,
			ordering_key  {blob} NOT NULL,
			source        {text} NOT NULL,
			principal     {text} NOT NULL,
			delivery_id   {text} NOT NULL,
			signing_key   {text} NOT NULL,
			signed_at     bigint NOT NULL,
			type          {text} NOT NULL,
			deployment_id {text} NOT NULL,
			event_at      bigint NOT NULL,
			received_at   bigint NOT NULL,
			body          {blob} NOT NULL,
			trace         {text} NOT NULL,
			state         {text} NOT NULL,
			round         bigint NOT NULL,
			attempts      bigint NOT NULL,
			retry_at      bigint NOT NULL,
			finished_at   bigint NOT NULL,
			last_error    {text} NOT NULL,
			dead_error    {text} NOT NULL
		)`,
		`CREATE INDEX inbox_delivery_state ON {schema}inbox_delivery (state, id)`,
		`CREATE INDEX inbox_delivery_deployment ON {schema}inbox_delivery (deployment_id, id)`,
		`CREATE INDEX inbox_delivery_open ON {schema}inbox_delivery (ordering_key, event_at, id) WHERE state IN ('pending', 'dead')`,
		`CREATE INDEX inbox_delivery_dead ON {schema}inbox_delivery (dead_error, id) WHERE state = 'dead'`,
		`CREATE INDEX inbox_delivery_finished ON {schema}inbox_delivery (finished_at) WHERE state <> 'pending'`,
		`CREATE TABLE {schema}inbox_deployment (
			ordering_key {blob} NOT NULL PRIMARY KEY,
			status       {text} NOT NULL,
			event_at     bigint NOT NULL,
			claim        bigint NOT NULL,
			until        bigint NOT NULL,
			used_at      bigint NOT NULL
		)`,
		`CREATE INDEX inbox_deployment_used ON {schema}inbox_deployment (used_at)`,
		`CREATE INDEX inbox_deployment_claim ON {schema}inbox_deployment (claim) WHERE claim <> 0`,
	})}
}
