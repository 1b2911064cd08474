package sqlledger

import "github.com/deployhook/deployhook/internal/sqldb"

// columns lists the columns of a record in the order of scan.
const columns = `id, document, reports, succeeded_at, previous_given, previous_commits, linked, linked_prs, recorded_at, updated_at`

// Statements for both databases. {schema} is the prefix of the tables.
const (
	addOrg = `INSERT INTO {schema}organizations (organization, last_id) VALUES (?, 0) ON CONFLICT (organization) DO NOTHING`
	nextID = `UPDATE {schema}organizations SET last_id = ? WHERE organization = ?`

	selection = `SELECT ` + columns + ` FROM {schema}deployments WHERE organization = ?`
	find      = selection + ` AND deployment_id = ?`

	// The index deployments_live has the rows with a success, ordered by
	// position.
	scoped = selection + ` AND scope = ? AND deployment_id <> ?`
	before = scoped + ` AND succeeded_at IS NOT NULL AND (position_at, deployment_id) < (?, ?)
		AND (rolled_back_at IS NULL OR rolled_back_at > ?) ORDER BY position_at DESC, deployment_id DESC LIMIT 1`
	// following may read beyond the next row with status success. The caller
	// stops there.
	following = scoped + ` AND (position_at, deployment_id) > (?, ?) ORDER BY position_at, deployment_id LIMIT ?`

	liveAt = selection + ` AND scope = ? AND succeeded_at IS NOT NULL AND position_at <= ?
		AND (rolled_back_at IS NULL OR rolled_back_at > ?) ORDER BY position_at DESC, deployment_id DESC LIMIT 1`
	latest = selection + ` AND scope = ? AND (position_at, deployment_id) < (?, ?) ORDER BY position_at DESC, deployment_id DESC LIMIT ?`

	insert = `INSERT INTO {schema}deployments (deployment_id, service, environment, scope, status, started_at, position_at,
		succeeded_at, rolled_back_at, document, reports, previous_given, previous_commits, linked, linked_prs, recorded_at, updated_at, organization, id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	update = `UPDATE {schema}deployments SET deployment_id = ?, service = ?, environment = ?, scope = ?, status = ?, started_at = ?, position_at = ?,
		succeeded_at = ?, rolled_back_at = ?, document = ?, reports = ?, previous_given = ?, previous_commits = ?, linked = ?, linked_prs = ?, recorded_at = ?, updated_at = ?
		WHERE organization = ? AND id = ?`
	putRun = `INSERT INTO {schema}runs (organization, deployment_id, scope, run_at, run) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (organization, deployment_id) DO UPDATE SET scope = excluded.scope, run_at = excluded.run_at, run = excluded.run`
	addScope = `INSERT INTO {schema}scopes (organization, scope, service, environment) VALUES (?, ?, ?, ?)
		ON CONFLICT (organization, scope) DO NOTHING`
	// A scope remains after its last run has moved to another scope.
	allScopes = `SELECT service, environment FROM {schema}scopes s WHERE organization = ? AND (
		SELECT r.run_at FROM {schema}runs r WHERE r.organization = s.organization AND r.scope = s.scope
		ORDER BY r.run_at LIMIT 1) IS NOT NULL`
	runsFrom = `SELECT run FROM {schema}runs WHERE organization = ? AND scope = ?
		AND (run_at, deployment_id) > (?, ?) AND run_at < ? ORDER BY run_at, deployment_id LIMIT ?`

	findIncident = `SELECT document, reports, recorded_at, updated_at FROM {schema}incidents WHERE organization = ? AND incident_id = ?`
	putIncident  = `INSERT INTO {schema}incidents (organization, incident_id, opened_at, document, reports, recorded_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (organization, incident_id) DO UPDATE SET opened_at = excluded.opened_at,
		document = excluded.document, reports = excluded.reports, updated_at = excluded.updated_at`
	incidentsFrom = `SELECT document FROM {schema}incidents WHERE organization = ?
		AND (opened_at, incident_id) > (?, ?) ORDER BY opened_at, incident_id LIMIT ?`

	setLinked = `UPDATE {schema}deployments SET linked = ?, linked_prs = ? WHERE organization = ? AND id = ?`
)

// lockOrg returns the statement that locks an organization's row. SQLite needs
// no lock, because its write transactions exclude each other.
func lockOrg(d sqldb.Dialect) string {
	const lock = `SELECT last_id FROM {schema}organizations WHERE organization = ?`
	if d == sqldb.Postgres {
		return lock + ` FOR UPDATE`
	}
	return lock
}
