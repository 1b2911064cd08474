package sqldedupe

import (
	"fmt"
	"regexp"
	"strings"
)

// names are what the store's objects are called, quoted for use in statements.
type names struct {
	table    string
	versions string // the table with the version of the tables
	sequence string // PostgreSQL's source of tokens
	index    string // never with a schema before it
	floor    string // SQLite's least token for a new row
	trigger  string
}

// identifier leaves room for the longest suffix within PostgreSQL's 63 bytes. It has no character that would have to be
// quoted or escaped, in an identifier or in a string.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,47}$`)

func newNames(d Dialect, table string) (names, error) {
	if d != Postgres && d != SQLite {
		return names{}, fmt.Errorf("%w: %v: the dialect must be Postgres or SQLite", ErrConfig, d)
	}
	if table == "" {
		table = DefaultTable
	}
	prefix, name := "", table
	if schema, rest, found := strings.Cut(table, "."); found && d == Postgres {
		if !identifier.MatchString(schema) {
			return names{}, tableError(table)
		}
		prefix, name = `"`+schema+`".`, rest
	}
	if !identifier.MatchString(name) || d == SQLite && strings.HasPrefix(strings.ToLower(name), "sqlite_") {
		return names{}, tableError(table)
	}
	quote := func(name string) string { return `"` + name + `"` }
	return names{
		table:    prefix + quote(name),
		versions: prefix + quote(name+"_schema"),
		sequence: prefix + quote(name+"_token"),
		index:    quote(name + "_sweep"),
		floor:    quote(name + "_floor"),
		trigger:  quote(name + "_raise"),
	}, nil
}

func tableError(table string) error {
	return fmt.Errorf("%w: table %q: a name has letters, digits and underscores, no digit first, no sqlite_ before it, and at most 48 bytes; "+
		"in PostgreSQL a schema and a dot may stand before it", ErrConfig, table)
}

// expand puts the names into a statement.
func (n names) expand(statement string) string {
	return strings.NewReplacer(
		"{table}", n.table, "{floor}", n.floor, "{sequence}", n.sequence, "{index}", n.index, "{trigger}", n.trigger,
	).Replace(statement)
}
