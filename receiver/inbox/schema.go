package inbox

import "github.com/deployhook/deployhook/internal/riverdb"

// module is the name that the tables' versions go by.
const module = "inbox"

// steps are the versions of the tables. What has been released never changes.
//
// A delivery's round goes up with each replay: a job that was inserted in an earlier one finds that it is not its turn any more.
// The columns of text are for looking things up; what decides about identity are the digests in delivery_key and ordering_key.
func steps() []riverdb.Step {
	return []riverdb.Step{{
		`CREATE TABLE {schema}inbox_delivery (
			id            {id},
			delivery_key  {blob} NOT NULL UNIQUE,
			ordering_key  {blob} NOT NULL,
			source        text NOT NULL,
			principal     text NOT NULL,
			delivery_id   text NOT NULL,
			signing_key   text NOT NULL,
			signed_at     bigint NOT NULL,
			type          text NOT NULL,
			deployment_id text NOT NULL,
			event_at      bigint NOT NULL,
			received_at   bigint NOT NULL,
			body          {blob} NOT NULL,
			state         text NOT NULL,
			round         bigint NOT NULL,
			attempts      bigint NOT NULL,
			retry_at      bigint NOT NULL,
			finished_at   bigint NOT NULL,
			last_error    text NOT NULL
		)`,
		`CREATE INDEX inbox_delivery_state ON {schema}inbox_delivery (state, id)`,
		`CREATE INDEX inbox_delivery_deployment ON {schema}inbox_delivery (deployment_id, id)`,
		`CREATE INDEX inbox_delivery_open ON {schema}inbox_delivery (ordering_key, event_at, id) WHERE state IN ('pending', 'dead')`,
		`CREATE INDEX inbox_delivery_finished ON {schema}inbox_delivery (finished_at) WHERE state <> 'pending'`,
		`CREATE TABLE {schema}inbox_deployment (
			ordering_key {blob} NOT NULL PRIMARY KEY,
			status       text NOT NULL,
			event_at     bigint NOT NULL,
			claim        bigint NOT NULL,
			until        bigint NOT NULL,
			used_at      bigint NOT NULL
		)`,
		`CREATE INDEX inbox_deployment_used ON {schema}inbox_deployment (used_at)`,
		`CREATE INDEX inbox_deployment_claim ON {schema}inbox_deployment (claim) WHERE claim <> 0`,
	}}
}
