package sqlledger

import "github.com/deployhook/deployhook/internal/sqldb"

// columns are those of a record, in the order of scan.
const columns = `id, document, previous_given, linked, linked_prs, recorded_at, updated_at`

// The statements for both databases. {schema} is the prefix of tables.
const (
	addOrg = `INSERT INTO {schema}organizations (organization, last_id) VALUES (?, 0) ON CONFLICT (organization) DO NOTHING`
	nextID = `UPDATE {schema}organizations SET last_id = ? WHERE organization = ?`

	selection = `SELECT ` + columns + ` FROM {schema}deployments WHERE organization = ?`
	find      = selection + ` AND deployment_id = ?`
	chain     = selection + ` AND scope = ? AND status = 'success' AND id <> ?`
	before    = chain + ` AND (position_at < ? OR position_at = ? AND id < ?) ORDER BY position_at DESC, id DESC LIMIT 1`
	after     = chain + ` AND (position_at > ? OR position_at = ? AND id > ?) ORDER BY position_at, id LIMIT 1`

	insert = `INSERT INTO {schema}deployments (deployment_id, service, environment, scope, status, started_at, position_at, document,
		previous_given, linked, linked_prs, recorded_at, updated_at, organization, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	update = `UPDATE {schema}deployments SET deployment_id = ?, service = ?, environment = ?, scope = ?, status = ?, started_at = ?, position_at = ?,
		document = ?, previous_given = ?, linked = ?, linked_prs = ?, recorded_at = ?, updated_at = ? WHERE organization = ? AND id = ?`
	setLinked = `UPDATE {schema}deployments SET linked = ?, linked_prs = ? WHERE organization = ? AND id = ?`
)

// lockOrg locks an organization's row. SQLite's transactions exclude each other
// anyway.
func lockOrg(d sqldb.Dialect) string {
	const lock = `SELECT last_id FROM {schema}organizations WHERE organization = ?`
	if d == sqldb.Postgres {
		return lock + ` FOR UPDATE`
	}
	return lock
}
