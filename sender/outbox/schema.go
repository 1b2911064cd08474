package outbox

import (
	"slices"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// module names this package's tables and its schema on PostgreSQL.
const module = "outbox"

// jobTable has a job for each delivery that is pending, see [jobdb.Queue].
const jobTable = "outbox_job"

// Times are microseconds since 1970, 0 where no time is known. Lists and maps
// are JSON.
//
// The column wake of outbox_endpoint counts the changes that let waiting
// deliveries be sent earlier. The column woken has its value at the last time
// that all of them were searched after a change.
//
// The column noticed of outbox_endpoint is the last stage of a failure that was
// announced, and noticed_since the failing_since of that failure. The column
// first_error belongs to failing_since.
//
// The column step of outbox_delivery counts the attempts since the delivery was
// published or replayed, and run_at is when the first of them began.
//
// The column planned of outbox_replay has the last time that the replay has
// given a delivery of each endpoint. outbox_replay_pace has the last slot that
// a first attempt has taken, and the time of the last delivery that was put
// off. They are times of the database's clock.
//
// outbox_event and outbox_delivery are narrow. What is wide and written once is
// in outbox_body and outbox_attempt. outbox_body has the event as it was
// published, with an empty delivery, and the bodies of deliveries in other
// formats than JSON. Each has the trace of the publication, see Telemetry.
//
// On SQLite, events get their position for polling when they are inserted,
// since it has one writer at a time. On PostgreSQL, position is 0 until the
// event's transaction has been committed. outbox_position then hands it out.
//
// Attempts change no column of outbox_delivery that is in an index, until the
// last one ends the delivery. PostgreSQL can then update the row in place
// (HOT), for which the fillfactor leaves room. After a burst, whose deliveries
// are attempted together, some pages are full and some updates move the row.
// The indexes of outbox_delivery are for, in this order:
//
//   - the log of an app and of an endpoint, by state, and the waiting
//     deliveries of an endpoint
//   - the log of a deployment
//   - the deliveries of an event, of which an endpoint has one
//   - the operator's view of what waits
//   - the order of a deployment's deliveries, see WithOrdering
//   - the end of a deployment, see WithSupersession
//   - the operator's view of dead letters, and the dead letters of an app by
//     endpoint
//   - pruning by age and size, of dead letters and of the others
//   - the progress of a replay
//
// PostgreSQL walks along an index in the order of the IDs only if the query has
// the collation of the index, see scan. The indexes of a log have the collation
// "POSIX", which is another name for "C". This keeps PostgreSQL from using the
// primary key for an app's or an endpoint's log, whatever its statistics say.
// Only the operator's queries have the condition that size is not zero, which
// is always true. This keeps the planner from using the operator's indexes for
// others. In the same way only the queries of WithOrdering use its index.
//
// Dead letters can be anywhere in a large table. The two indexes that list them
// therefore have all columns that Stats needs. One is the size, whose condition
// SQLite checks for each row.
var migrations = []jobdb.Step{slices.Concat(jobdb.QueueTable(jobTable), []string{
	`CREATE TABLE {schema}outbox_app (
		id {text} NOT NULL PRIMARY KEY,
		created_at bigint NOT NULL,
		locked bigint NOT NULL DEFAULT 0,
		pruned_position bigint NOT NULL DEFAULT 0
	)`,
	`CREATE TABLE {schema}outbox_endpoint (
		id {text} NOT NULL PRIMARY KEY,
		app {text} NOT NULL,
		version bigint NOT NULL,
		state {text} NOT NULL,
		reason {text} NOT NULL,
		created_at bigint NOT NULL,
		updated_at bigint NOT NULL,
		failing_since bigint NOT NULL DEFAULT 0,
		first_error {text} NOT NULL DEFAULT '',
		noticed bigint NOT NULL DEFAULT 0,
		noticed_since bigint NOT NULL DEFAULT 0,
		disabled_at bigint NOT NULL DEFAULT 0,
		breaker_open_until bigint NOT NULL DEFAULT 0,
		rate_slot_at bigint NOT NULL DEFAULT 0,
		wake bigint NOT NULL DEFAULT 0,
		woken bigint NOT NULL DEFAULT 0,
		host {text} NOT NULL,
		description {text} NOT NULL,
		format {text} NOT NULL,
		scheme {text} NOT NULL,
		signature_header {text} NOT NULL,
		events {text} NOT NULL,
		header_names {text} NOT NULL,
		certificate_subject {text} NOT NULL,
		certificate_not_after bigint NOT NULL,
		timeout bigint NOT NULL,
		schedule {text} NOT NULL,
		concurrency bigint NOT NULL,
		spacing bigint NOT NULL,
		metadata {text} NOT NULL,
		url {blob} NOT NULL,
		header {blob} NOT NULL,
		keys {blob} NOT NULL,
		certificate {blob} NOT NULL,
		creation_key {text} NOT NULL,
		creation {blob} NOT NULL
	)`,
	`CREATE INDEX outbox_endpoint_app ON {schema}outbox_endpoint (app, id)`,
	`CREATE UNIQUE INDEX outbox_endpoint_creation ON {schema}outbox_endpoint (app, creation_key) WHERE creation_key <> ''`,
	`CREATE INDEX outbox_endpoint_state ON {schema}outbox_endpoint (state, id)`,
	`CREATE INDEX outbox_endpoint_breaker ON {schema}outbox_endpoint (breaker_open_until) WHERE breaker_open_until > 0 AND state <> 'disabled'`,
	`CREATE INDEX outbox_endpoint_wake ON {schema}outbox_endpoint (id) WHERE wake > woken`,
	`CREATE TABLE {schema}outbox_event (
		position {sqlite:integer PRIMARY KEY AUTOINCREMENT}{postgres:bigint NOT NULL DEFAULT 0},
		app {text} NOT NULL,
		id {text} NOT NULL,
		type {text} NOT NULL,
		deployment {text} NOT NULL,
		hash {blob} NOT NULL,
		size bigint NOT NULL,
		created_at bigint NOT NULL,
		erased_at bigint NOT NULL DEFAULT 0,
		{postgres:PRIMARY KEY}{sqlite:UNIQUE} (app, id)
	)`,
	`CREATE INDEX outbox_event_feed ON {schema}outbox_event (app, position)`,
	`CREATE INDEX outbox_event_time ON {schema}outbox_event (app, created_at)`,
	`CREATE INDEX outbox_event_age ON {schema}outbox_event (created_at)`,
	`{postgres:CREATE INDEX outbox_event_unplaced ON {schema}outbox_event (created_at) WHERE position = 0}`,
	`{postgres:CREATE TABLE {schema}outbox_position (id bigint NOT NULL PRIMARY KEY, last bigint NOT NULL)}`,
	`{postgres:INSERT INTO {schema}outbox_position (id, last) VALUES (1, 0)}`,
	`CREATE TABLE {schema}outbox_body (
		app {text} NOT NULL,
		event {text} NOT NULL,
		delivery {text} NOT NULL,
		created_at bigint NOT NULL,
		body {blob} NOT NULL,
		trace {text} NOT NULL DEFAULT '',
		PRIMARY KEY (app, event, delivery)
	)`,
	`CREATE UNIQUE INDEX outbox_body_delivery ON {schema}outbox_body (delivery) WHERE delivery <> ''`,
	`CREATE INDEX outbox_body_age ON {schema}outbox_body (created_at)`,
	`CREATE TABLE {schema}outbox_delivery (
		id {text} NOT NULL PRIMARY KEY,
		app {text} NOT NULL,
		endpoint {text} NOT NULL,
		event {text} NOT NULL,
		type {text} NOT NULL,
		deployment {text} NOT NULL,
		event_at bigint NOT NULL,
		terminal bigint NOT NULL,
		encoding bigint NOT NULL,
		content_type {text} NOT NULL,
		state {text} NOT NULL,
		job bigint NOT NULL,
		attempts bigint NOT NULL DEFAULT 0,
		step bigint NOT NULL DEFAULT 0,
		run_at bigint NOT NULL DEFAULT 0,
		created_at bigint NOT NULL,
		next_at bigint NOT NULL,
		blocked bigint NOT NULL DEFAULT 0,
		done_at bigint NOT NULL DEFAULT 0,
		last_status bigint NOT NULL DEFAULT 0,
		last_class {text} NOT NULL DEFAULT '',
		last_error {text} NOT NULL DEFAULT '',
		replays bigint NOT NULL DEFAULT 0,
		replay {text} NOT NULL DEFAULT '',
		size bigint NOT NULL,
		attempts_size bigint NOT NULL DEFAULT 0
	){postgres: WITH (fillfactor = 75)}`,
	`CREATE INDEX outbox_delivery_app ON {schema}outbox_delivery (app, state, id{postgres: COLLATE "POSIX"})`,
	`CREATE INDEX outbox_delivery_endpoint ON {schema}outbox_delivery (endpoint, state, id{postgres: COLLATE "POSIX"})`,
	`CREATE INDEX outbox_delivery_deployment ON {schema}outbox_delivery (app, deployment, id{postgres: COLLATE "POSIX"})`,
	`CREATE UNIQUE INDEX outbox_delivery_event ON {schema}outbox_delivery (app, event, endpoint)`,
	`CREATE INDEX outbox_delivery_pending ON {schema}outbox_delivery (id{postgres: COLLATE "POSIX"}) WHERE state = 'pending' AND size > 0`,
	`CREATE INDEX outbox_delivery_order ON {schema}outbox_delivery (endpoint, deployment, event_at, id) WHERE state = 'pending' AND deployment <> ''`,
	`CREATE INDEX outbox_delivery_terminal ON {schema}outbox_delivery (endpoint, deployment, event_at) WHERE terminal = 1`,
	`CREATE INDEX outbox_delivery_failed ON {schema}outbox_delivery (id{postgres: COLLATE "POSIX"}, app, endpoint{sqlite:, size}) WHERE state = 'failed' AND size > 0`,
	`CREATE INDEX outbox_delivery_app_failed ON {schema}outbox_delivery (app, id{postgres: COLLATE "POSIX"}, endpoint) WHERE state = 'failed'`,
	`CREATE INDEX outbox_delivery_done ON {schema}outbox_delivery (done_at, size) WHERE done_at > 0 AND state <> 'failed'`,
	`CREATE INDEX outbox_delivery_dead ON {schema}outbox_delivery (done_at, size) WHERE done_at > 0 AND state = 'failed'`,
	`CREATE INDEX outbox_delivery_replay ON {schema}outbox_delivery (replay, state, id{postgres: COLLATE "POSIX"}) WHERE replay <> ''`,
	`CREATE TABLE {schema}outbox_attempt (
		delivery {text} NOT NULL,
		number bigint NOT NULL,
		started_at bigint NOT NULL,
		outcome {text} NOT NULL,
		class {text} NOT NULL,
		status bigint NOT NULL,
		error {text} NOT NULL,
		dns bigint NOT NULL,
		connect bigint NOT NULL,
		tls bigint NOT NULL,
		first_byte bigint NOT NULL,
		total bigint NOT NULL,
		retry_after bigint NOT NULL,
		addr {text} NOT NULL,
		reused bigint NOT NULL,
		truncated bigint NOT NULL,
		request_header {text} NOT NULL,
		response_header {text} NOT NULL,
		body {blob} NOT NULL,
		PRIMARY KEY (delivery, number)
	)`,
	`CREATE TABLE {schema}outbox_replay (
		id {text} NOT NULL PRIMARY KEY,
		app {text} NOT NULL,
		created_at bigint NOT NULL,
		filter {text} NOT NULL,
		spacing bigint NOT NULL,
		cursor {text} NOT NULL,
		missed bigint NOT NULL DEFAULT 0,
		background bigint NOT NULL DEFAULT 0,
		canceled_at bigint NOT NULL DEFAULT 0,
		planned {text} NOT NULL DEFAULT '{}',
		scheduled bigint NOT NULL DEFAULT 0,
		skipped bigint NOT NULL DEFAULT 0,
		done bigint NOT NULL DEFAULT 0
	)`,
	`CREATE INDEX outbox_replay_app ON {schema}outbox_replay (app, id)`,
	`CREATE INDEX outbox_replay_open ON {schema}outbox_replay (id) WHERE background = 1 AND done = 0 AND canceled_at = 0`,
	`CREATE TABLE {schema}outbox_replay_pace (
		replay {text} NOT NULL,
		endpoint {text} NOT NULL,
		spacing bigint NOT NULL,
		slot_at bigint NOT NULL,
		put_off_until bigint NOT NULL,
		PRIMARY KEY (replay, endpoint)
	)`,
	`CREATE TABLE {schema}outbox_total (
		id bigint NOT NULL,
		kind {text} NOT NULL,
		until bigint NOT NULL DEFAULT 0,
		amount bigint NOT NULL DEFAULT 0,
		bytes bigint NOT NULL DEFAULT 0,
		begun bigint NOT NULL DEFAULT 0,
		PRIMARY KEY (id, kind)
	)`,
	`INSERT INTO {schema}outbox_total (id, kind) VALUES (1, 'finished'), (1, 'dead'), (1, 'event')`,
})}
