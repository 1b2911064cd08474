package sqlledger

import (
	"strconv"
	"strings"
)

// dialect is in what the two databases differ.
type dialect struct {
	name     string
	bytes    string // the type of a column of bytes
	forUpd   string // locks the selected row
	numbered bool   // parameters are $1, $2 instead of ?
}

var (
	postgres = &dialect{name: "PostgreSQL", bytes: "BYTEA", forUpd: " FOR UPDATE", numbered: true}
	sqlite   = &dialect{name: "SQLite", bytes: "BLOB"}
)

// text makes a statement of its common form: {p} is the prefix of tables, {bytes} the type.
func (d *dialect) text(prefix, statement string) string {
	statement = strings.NewReplacer("{p}", prefix, "{bytes}", d.bytes).Replace(statement)
	if !d.numbered {
		return statement
	}
	var b strings.Builder
	n := 0
	for _, c := range statement { // no statement has a literal with a question mark
		if c == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

// columns are those of a record, in the order of scan.
const columns = `id, document, previous_given, linked, linked_prs, recorded_at, updated_at`

// statements are all that a ledger runs after it was opened, but for List's.
type statements struct {
	lock, addOrg, nextID            string
	find, before, after             string
	insert, update, setLinked, list string
}

func newStatements(d *dialect, prefix string) statements {
	text := func(s string) string { return d.text(prefix, s) }
	const selection = `SELECT ` + columns + ` FROM {p}deployments WHERE organization = ?`
	const chain = selection + ` AND scope = ? AND status = 'success' AND id <> ?`
	return statements{
		lock:   text(`SELECT last_id FROM {p}organizations WHERE organization = ?` + d.forUpd),
		addOrg: text(`INSERT INTO {p}organizations (organization, last_id) VALUES (?, 0) ON CONFLICT (organization) DO NOTHING`),
		nextID: text(`UPDATE {p}organizations SET last_id = ? WHERE organization = ?`),
		find:   text(selection + ` AND deployment_id = ?`),
		before: text(chain + ` AND (position_at < ? OR position_at = ? AND id < ?) ORDER BY position_at DESC, id DESC LIMIT 1`),
		after:  text(chain + ` AND (position_at > ? OR position_at = ? AND id > ?) ORDER BY position_at, id LIMIT 1`),
		insert: text(`INSERT INTO {p}deployments (deployment_id, service, environment, scope, status, started_at, position_at, document,
			previous_given, linked, linked_prs, recorded_at, updated_at, organization, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`),
		update: text(`UPDATE {p}deployments SET deployment_id = ?, service = ?, environment = ?, scope = ?, status = ?, started_at = ?, position_at = ?,
			document = ?, previous_given = ?, linked = ?, linked_prs = ?, recorded_at = ?, updated_at = ? WHERE organization = ? AND id = ?`),
		setLinked: text(`UPDATE {p}deployments SET linked = ?, linked_prs = ? WHERE organization = ? AND id = ?`),
		list:      text(selection), // and conditions
	}
}
