package sqldb

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Dialect is the SQL dialect of a database.
type Dialect uint8

const (
	// Postgres is PostgreSQL, version 12 or later.
	Postgres Dialect = iota + 1
	// SQLite is SQLite, version 3.42 or later.
	SQLite
)

// String returns the dialect's name.
func (d Dialect) String() string {
	switch d {
	case Postgres:
		return "PostgreSQL"
	case SQLite:
		return "SQLite"
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

const (
	prefixMark = "{schema}"
	nowMark    = "{now}"
)

// Rewrite converts a statement for both databases to the dialect's own. It
// replaces each ? by $1, $2, … on PostgreSQL, {schema} by prefix, and {now} by
// the time in microseconds. It does not change quoted text.
func (d Dialect) Rewrite(statement, prefix string) string {
	var b strings.Builder
	b.Grow(len(statement) + 64)
	var quote byte
	parameters := 0
	for i := 0; i < len(statement); i++ {
		c := statement[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
			b.WriteByte(c)
		case c == '\'' || c == '"':
			quote = c
			b.WriteByte(c)
		case c == '?' && d == Postgres:
			parameters++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(parameters))
		case strings.HasPrefix(statement[i:], prefixMark):
			b.WriteString(prefix)
			i += len(prefixMark) - 1
		case strings.HasPrefix(statement[i:], nowMark):
			b.WriteString(d.now())
			i += len(nowMark) - 1
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// now returns an expression for the time at which the statement runs. The start
// of its transaction may be long ago.
func (d Dialect) now() string {
	if d == SQLite {
		return "CAST(unixepoch('subsec') * 1000000 AS integer)"
	}
	return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
}

// only finds text of a [Step] that is for one dialect.
var only = regexp.MustCompile(`\{(sqlite|postgres):((?:[^{}]|\{schema\})*)\}`)

// types inserts the names of the column types that differ between the dialects,
// and leaves out the text that is for the other dialect.
func (d Dialect) types(statement string) string {
	blob, text, id, own := "blob", "text", "integer PRIMARY KEY AUTOINCREMENT", "sqlite"
	if d == Postgres {
		blob, text, id, own = "bytea", `text COLLATE "C"`, "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "postgres"
	}
	statement = only.ReplaceAllStringFunc(statement, func(part string) string {
		if m := only.FindStringSubmatch(part); m[1] == own {
			return m[2]
		}
		return ""
	})
	return strings.NewReplacer("{blob}", blob, "{text}", text, "{id}", id).Replace(statement)
}
