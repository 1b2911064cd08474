package outbox

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
)

func micros(t time.Time) int64     { return sqldb.Micros(t) }
func fromMicros(n int64) time.Time { return sqldb.Time(n) }

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func scanText(r jobdb.Row) (text string, err error) { return text, r.Scan(&text) }

// anyOf is a condition on a text that is one of many, and its argument.
func anyOf(db *jobdb.DB, texts []string) (condition string, arg any) {
	if db.Dialect() == jobdb.Postgres {
		return sqldb.AnyInArray("text"), texts
	}
	return `IN (SELECT value FROM json_each(?))`, list(texts)
}

// locate is a condition that a row of a table has one of many texts in a
// column, and its argument. Unlike [anyOf] it suits a column that is not
// unique. PostgreSQL looks up each text by itself, and locks the rows. Without
// statistics it would expect that many texts match the whole table.
func locate(db *jobdb.DB, table, column string, texts []string) (condition string, arg any) {
	if db.Dialect() == jobdb.SQLite {
		return column + ` IN (SELECT value FROM json_each(?))`, list(texts)
	}
	return `ctid = ANY(ARRAY(SELECT r.ctid FROM unnest(?::text[]) AS u (a), LATERAL (
		SELECT ctid FROM {schema}` + table + ` WHERE ` + column + ` = u.a FOR UPDATE) AS r))`, texts
}

// locatePairs is [locate] for two columns. They have one of many pairs.
func locatePairs(db *jobdb.DB, table, first, second string, pairs keys) (condition string, args []any) {
	if db.Dialect() == jobdb.Postgres {
		return `ctid = ANY(ARRAY(SELECT r.ctid FROM unnest(?::text[], ?::text[]) AS u (a, b), LATERAL (
			SELECT ctid FROM {schema}` + table + ` WHERE ` + first + ` = u.a AND ` + second + ` = u.b FOR UPDATE) AS r))`, []any{pairs.apps, pairs.events}
	}
	all := make([][2]string, len(pairs.apps))
	for i := range all {
		all[i] = [2]string{pairs.apps[i], pairs.events[i]}
	}
	b, _ := json.Marshal(all) // strings always marshal
	return `(` + first + `, ` + second + `) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))`, []any{string(b)}
}

// keys names events. Both lists have the same length.
type keys struct{ apps, events []string }

// inOrder ends a subselect ordered by ID that says which deliveries a statement
// changes. PostgreSQL then locks them in this order. Two statements that change
// the same deliveries wait for each other and do not deadlock. The subselect
// must be materialized, since it could run several times otherwise. SQLite has
// one writer at a time.
func inOrder(db *jobdb.DB) string {
	if db.Dialect() == jobdb.Postgres {
		return ` FOR UPDATE`
	}
	return ``
}

// each is a table u with the column id, which has the rows of a list, and its
// argument. A subselect about one row then says for each what it says for one.
func each(db *jobdb.DB, ids []string) (table string, arg any) {
	if db.Dialect() == jobdb.Postgres {
		return `unnest(?::text[]) AS u (id)`, ids
	}
	return `(SELECT value AS id FROM json_each(?)) AS u`, list(ids)
}

// fromPlace is a condition on rows of an app that come after a place in the
// order of columns. Its arguments are the app and the place. On PostgreSQL the
// rows of later apps match, too, so the statement must leave them out at the
// end. Without statistics PostgreSQL would otherwise sort all rows of the app.
func fromPlace(d jobdb.Dialect, columns, operator string) string {
	marks := strings.Repeat(`, ?`, strings.Count(columns, `,`))
	if d == jobdb.Postgres {
		return `(app, ` + columns + `) ` + operator + ` (?, ?` + marks + `)`
	}
	return `app = ? AND (` + columns + `) ` + operator + ` (?` + marks + `)`
}

// byID is the order of delivery IDs in the indexes that have several columns.
func byID(d jobdb.Dialect) string {
	if d == jobdb.Postgres {
		return `id COLLATE "POSIX"`
	}
	return `id`
}

// newID returns a prefix and a UUIDv7 without dashes, so that IDs sort by time.
func newID(prefix string) string {
	return prefix + strings.ReplaceAll(uuid.Must(uuid.NewV7()).String(), "-", "")
}

// storable reports whether a text can be in a column. PostgreSQL refuses zero
// bytes and invalid UTF-8.
func storable(text string) bool { return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 }

// clean makes a text fit for a column and a log: valid UTF-8 of bounded length
// without control characters.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) > 1024 {
		text = strings.ToValidUTF8(text[:1024], "")
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// plainText reports whether a text is valid UTF-8 without control characters.
func plainText(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return false
		}
	}
	return true
}

// wrap says what was being done when the database failed. Errors of this
// package stay as they are.
func wrap(doing string, err error) error {
	if err == nil || strings.HasPrefix(err.Error(), "outbox: ") {
		return err
	}
	return fmt.Errorf("outbox: %s: %w", doing, sqldb.Explain(err))
}

const maxAppLength = 255

// checkApp checks the name of an app.
func checkApp(app string) error {
	if app == "" || len(app) > maxAppLength || !plainText(app) {
		return fieldError("App", "want 1 to %d bytes of text without control characters", maxAppLength)
	}
	return nil
}

// RegisterApp makes an app known, so that events can be published before it has
// endpoints. Registering it again is no error. Names have 1 to 255 bytes.
func (o *Outbox) RegisterApp(ctx context.Context, app string) error {
	if err := errors.Join(o.open(), checkApp(app)); err != nil {
		return err
	}
	return registerApp(ctx, o.db, app)
}

// Apps is a page of the names of apps.
type Apps struct {
	Items []string `json:"items"`
	// Next is the cursor of the next page. It is empty on the last.
	Next string `json:"next,omitempty"`
}

// Apps returns the names of the apps that were registered, sorted.
func (o *Outbox) Apps(ctx context.Context, p Page) (page Apps, err error) {
	if err := o.open(); err != nil {
		return page, err
	}
	limit, err := p.size()
	if err != nil {
		return page, err
	}
	after, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil || !storable(string(after)) {
		return page, fieldError("Page.Cursor", "not a cursor returned by this list")
	}
	page.Items, err = jobdb.Collect(ctx, o.db.Reader(), scanText, `SELECT id FROM {schema}outbox_app WHERE id > ? ORDER BY id LIMIT ?`,
		string(after), int64(limit+1))
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.Next = cursor(page.Items[limit-1])
	}
	return page, wrap("reading apps", err)
}

func registerApp(ctx context.Context, q jobdb.Querier, app string) error {
	_, err := q.Exec(ctx, `INSERT INTO {schema}outbox_app (id, created_at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING`, app, micros(time.Now()))
	if err != nil {
		return fmt.Errorf("outbox: registering app: %w", err)
	}
	return nil
}

// lockApp makes other registrations of the app wait until the transaction has
// ended.
func lockApp(ctx context.Context, tx *jobdb.Tx, app string) error {
	if err := registerApp(ctx, tx, app); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE {schema}outbox_app SET locked = locked + 1 WHERE id = ?`, app)
	return err
}

func unknownApp(name string) error { return fmt.Errorf("%w: %q", ErrUnknownApp, clean(name)) }

func requireApp(ctx context.Context, q jobdb.Querier, app string) error {
	var n int64
	if err := q.QueryRow(ctx, `SELECT count(*) FROM {schema}outbox_app WHERE id = ?`, app).Scan(&n); err != nil {
		return wrap("reading app", err)
	}
	if n == 0 {
		return fmt.Errorf("%w; register it, or create an endpoint for it", unknownApp(app))
	}
	return nil
}
