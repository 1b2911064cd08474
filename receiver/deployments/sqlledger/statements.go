package sqlledger

import "github.com/deployhook/deployhook/internal/sqldb"

// columns lists the columns of a record in the order of scan.
const columns = `id, document, succeeded_at, previous_given, linked, linked_prs, recorded_at, updated_at`

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

	insert = `INSERT INTO {schema}deployments (deployment_id, service, environment, scope, status, started_at, position_at,
		succeeded_at, rolled_back_at, document, previous_given, linked, linked_prs, recorded_at, updated_at, organization, id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	update = `UPDATE {schema}deployments SET deployment_id = ?, service = ?, environment = ?, scope = ?, status = ?, started_at = ?, position_at = ?,
		succeeded_at = ?, rolled_back_at = ?, document = ?, previous_given = ?, linked = ?, linked_prs = ?, recorded_at = ?, updated_at = ?
		WHERE organization = ? AND id = ?`
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
