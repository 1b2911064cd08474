package sqldedupe

import (
	"fmt"
	"regexp"
	"strings"
)

// names holds the names of the store's database objects, quoted for statements.
type names struct {
	table    string
	versions string // the table with the schema version
	sequence string // the source of tokens in PostgreSQL
	index    string // never has a schema prefix
	// floor is SQLite's table with the lower limit for tokens of new rows.
	floor   string
	trigger string
}

// identifier allows names that leave room for the longest suffix within
// PostgreSQL's 63 bytes. No allowed character needs quoting or escaping, in an
// identifier or in a string.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,47}$`)

func newNames(d Dialect, table string) (names, error) {
	if d != Postgres && d != SQLite {
		return names{}, fmt.Errorf("%w: %v: the dialect must be Postgres or SQLite", ErrConfig, d)
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
	return fmt.Errorf("%w: table %q: use at most 48 letters, digits and underscores, not beginning with a digit or sqlite_; "+
		"in PostgreSQL the name may begin with a schema and a dot", ErrConfig, table)
}

// expand inserts the names into a statement.
func (n names) expand(statement string) string {
	return strings.NewReplacer(
		"{table}", n.table, "{floor}", n.floor, "{sequence}", n.sequence, "{index}", n.index, "{trigger}", n.trigger,
	).Replace(statement)
}
