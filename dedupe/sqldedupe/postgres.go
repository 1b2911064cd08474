package sqldedupe

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/sqldb"
)

// NewPostgres returns a store in a PostgreSQL database, version 12 or later. It
// creates or updates the table and checks that it can be used. The driver of db
// needs errors with a method SQLState() string. The store is tested with
// github.com/jackc/pgx/v5/stdlib. The caller owns db, so [Store.Close] does not
// close it.
//
//	import _ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
//
//	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
//	if err != nil {
//		return err
//	}
//	store, err := sqldedupe.NewPostgres(ctx, db)
//
// Each instance needs a connection for every concurrent call. Limit the
// connections with db.SetMaxOpenConns. PostgreSQL refuses more than its
// max_connections, and the receiver answers a refused claim with 503.
//
// Errors wrap [ErrConfig] if an option is invalid or the database is
// unsuitable. Other errors are failures of the database and the context's
// error.
func NewPostgres(ctx context.Context, db *sql.DB, opts ...Option) (*Store, error) {
	c, n, err := configure("NewPostgres", Postgres, db, opts)
	if err != nil {
		return nil, err
	}
	if _, err := sqldb.New(db, Postgres, "").CheckPooler(ctx, c.prepared); err != nil {
		return nil, opened("NewPostgres", err)
	}
	strict, err := checkPostgres(ctx, db, c)
	if err != nil {
		return nil, opened("NewPostgres", err)
	}
	if err := prepareSchema(ctx, db, Postgres, n, c); err != nil {
		return nil, opened("NewPostgres", err)
	}
	if err := checkPrivileges(ctx, db, n); err != nil {
		return nil, opened("NewPostgres", err)
	}
	e := &postgres{
		claimNew: statement{text: n.expand(pgClaimNew)},
		takeOver: statement{text: n.expand(pgTakeOver)},
		pruning:  statement{text: n.expand(pgPrune)},
	}
	e.strict.Store(strict)
	return newStore(db, c, e, n, pgCommon), nil
}

// checkPostgres checks the server. strict reports whether the default isolation
// of transactions is stricter than READ COMMITTED.
func checkPostgres(ctx context.Context, db *sql.DB, c config) (strict bool, err error) {
	var version int
	var commit, fsync string
	err = db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int, current_setting('synchronous_commit'), current_setting('fsync'),
		current_setting('default_transaction_isolation') IN ('repeatable read', 'serializable')`).Scan(&version, &commit, &fsync, &strict)
	switch {
	case err != nil:
		return false, err
	case version < 120000:
		return false, sqldb.ConfigErrorf("the server has version %d, but the store needs PostgreSQL 12 or later", version)
	case (commit == "off" || fsync == "off") && !c.unsynced:
		return false, sqldb.ConfigErrorf("the database has synchronous_commit %s and fsync %s, so confirmed commits can be lost; "+
			"set them to on, or use InsecureUnsynced", commit, fsync)
	}
	return strict, nil
}

func checkPrivileges(ctx context.Context, db *sql.DB, n names) error {
	var may bool
	err := db.QueryRowContext(ctx, n.expand(`SELECT has_table_privilege('{table}', 'SELECT') AND has_table_privilege('{table}', 'INSERT')
		AND has_table_privilege('{table}', 'UPDATE') AND has_table_privilege('{table}', 'DELETE') AND has_sequence_privilege('{sequence}', 'USAGE')`)).Scan(&may)
	if err == nil && !may {
		err = sqldb.ConfigErrorf("table %s: the role needs SELECT, INSERT, UPDATE and DELETE on it, and USAGE on sequence %s", n.table, n.sequence)
	}
	return err
}

// The statements use clock_timestamp(), because now() is constant within a
// transaction, while a lease may end.

// pgClaimNew finds the delivery, or claims it if there is no row, in one
// statement. For a duplicate it only reads. It takes no lock and does not wait
// for a transaction that is about to complete the claim.
//
// The token is drawn before the row is inserted. Another caller may have
// claimed and released the key in between. Rows outlive their claims by a TTL,
// so the row then exists and this statement does nothing.
//
// The transaction that inserts a row holds the key's lock until its end. A
// claim that cannot get the lock at once inserts nothing, because the insertion
// would wait for that transaction.
const pgClaimNew = `
WITH found AS MATERIALIZED (
	SELECT completed_by IS NOT NULL AS completed, (extract(epoch FROM expires - clock_timestamp()) * 1000000)::bigint AS rest
	FROM {table} WHERE key = $1::bytea
), new AS (
	INSERT INTO {table} (key, token, expires, sweep)
	SELECT $1::bytea, nextval('{sequence}'), clock_timestamp() + $2::bigint * interval '1 microsecond',
		clock_timestamp() + ($2::bigint + $3::bigint) * interval '1 microsecond'
	WHERE CASE WHEN EXISTS (SELECT FROM found) THEN false ELSE pg_try_advisory_xact_lock(` + pgKeyLock + `) END
	ON CONFLICT (key) DO NOTHING
	RETURNING token
)
SELECT (SELECT token FROM new), found.completed, found.rest FROM (SELECT) AS always LEFT JOIN found ON true`

// pgKeyLock is the number of a key's advisory lock. All schemas of a database
// share these numbers, so it depends on the table's OID and not on its name.
const pgKeyLock = `hashtextextended('deployhook/dedupe ' || '{table}'::regclass::oid || ' ' || encode($1::bytea, 'hex'), 0)`

// pgTakeOver claims a key with a free row. It locks the row before it draws the
// token, so tokens increase in the order of the claims. It does not wait for a
// locked row, because a transaction that completes the claim may be slow.
const pgTakeOver = `
WITH free AS MATERIALIZED (
	SELECT key FROM {table} WHERE key = $1::bytea AND expires <= clock_timestamp() FOR UPDATE SKIP LOCKED
)
UPDATE {table} AS t SET token = nextval('{sequence}'), completed_by = NULL,
	expires = clock_timestamp() + $2::bigint * interval '1 microsecond',
	sweep = clock_timestamp() + ($2::bigint + $3::bigint) * interval '1 microsecond'
FROM free WHERE t.key = free.key AND t.expires <= clock_timestamp()
RETURNING t.token`

// pgPrune selects the rows that are due. It deletes the expired ones and
// postpones the others until they expire. Subqueries read the clock once, so
// that the index can be used.
const pgPrune = `
WITH due AS MATERIALIZED (
	SELECT key, expires <= (SELECT clock_timestamp()) AS over
	FROM {table} WHERE sweep <= (SELECT clock_timestamp()) ORDER BY sweep LIMIT $1::bigint FOR UPDATE SKIP LOCKED
), gone AS (
	DELETE FROM {table} AS t USING due WHERE t.key = due.key AND due.over AND t.expires <= clock_timestamp() RETURNING 1
), later AS (
	UPDATE {table} AS t SET sweep = t.expires FROM due WHERE t.key = due.key AND NOT due.over RETURNING 1
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM later)`

// The updates do not change the indexed column sweep, so that PostgreSQL need
// not write the indexes.
var pgCommon = commonStatements{
	complete: `UPDATE {table} SET completed_by = $2::bigint, expires = clock_timestamp() + $3::bigint * interval '1 microsecond'
		WHERE key = $1::bytea AND (expires <= clock_timestamp() OR token = $2::bigint AND completed_by IS NULL) RETURNING 1`,
	completeNew: `INSERT INTO {table} (key, token, completed_by, expires, sweep)
		SELECT $1::bytea, $2::bigint, $2::bigint, t, t FROM (SELECT clock_timestamp() + $3::bigint * interval '1 microsecond' AS t,
			pg_advisory_xact_lock(` + pgKeyLock + `)) AS ttl
		ON CONFLICT (key) DO NOTHING RETURNING 1`,
	standing: `SELECT coalesce(completed_by, 0), expires > clock_timestamp() FROM {table} WHERE key = $1::bytea`,
	renew: `UPDATE {table} SET expires = clock_timestamp() + $3::bigint * interval '1 microsecond'
		WHERE key = $1::bytea AND token = $2::bigint AND completed_by IS NULL AND expires > clock_timestamp() RETURNING 1`,
	release: `UPDATE {table} SET expires = 'epoch'
		WHERE key = $1::bytea AND token = $2::bigint AND completed_by IS NULL AND expires > clock_timestamp() RETURNING 1`,
	count: `SELECT count(*), coalesce((extract(epoch FROM min(expires) - clock_timestamp()) * 1000000)::bigint, 0)
		FROM {table} WHERE expires > clock_timestamp()`,
	// FOR UPDATE waits for the end of a transaction whose connection was lost.
	confirm: `SELECT coalesce(completed_by, 0) FROM {table} WHERE key = $1::bytea FOR UPDATE`,
	probe:   `INSERT INTO {table} (key, token, expires, sweep) VALUES (?, 0, 'epoch', 'epoch')`,
}

type postgres struct {
	claimNew, takeOver, pruning statement
	// strict is true if transactions may be stricter than READ COMMITTED by
	// default.
	strict atomic.Bool
}

// stateSerialization is PostgreSQL's code for a serialization failure.
const stateSerialization = "40001"

const (
	claimTries = 4
	// lockedWait is RetryAfter if the other caller's lease is unknown.
	lockedWait = time.Second
)

func (p *postgres) dialect() Dialect            { return Postgres }
func (p *postgres) units(d time.Duration) int64 { return ceil(d, time.Microsecond) }
func (p *postgres) unit() time.Duration         { return time.Microsecond }

// completesFirst returns true for stricter isolation. There a transaction
// cannot change a row that was changed after its first statement, and a renewal
// changes the claim's row.
func (p *postgres) completesFirst() bool { return p.strict.Load() }

// learn notes a stricter isolation, because the default may differ between
// connections and may change.
func (p *postgres) learn(err error) {
	if sqldb.SQLState(err) == stateSerialization {
		p.strict.Store(true)
	}
}

func (p *postgres) begin(ctx context.Context, db *sql.DB) (*sql.Tx, *guard, error) {
	tx, err := db.BeginTx(ctx, nil)
	return tx, nil, err
}

func (p *postgres) inside(context.Context, Tx) error { return nil }

func (p *postgres) claim(ctx context.Context, r runner, key dedupe.Key, lease, ttl int64) (answer, error) {
	args := []any{key[:], lease, ttl}
	for try := range claimTries {
		if err := pause(ctx, try); err != nil {
			return answer{}, err
		}
		var token, rest sql.NullInt64
		var completed sql.NullBool
		if _, err := r.one(ctx, &p.claimNew, args, &token, &completed, &rest); err != nil {
			return answer{}, err
		}
		switch {
		case token.Valid:
			return answer{token: token.Int64}, nil
		case rest.Int64 > 0:
			return answer{completed: completed.Bool, rest: rest.Int64}, nil
		case !completed.Valid:
			continue // inserted concurrently since the statement began
		}
		if taken, err := r.one(ctx, &p.takeOver, args, &token); err != nil || taken {
			return answer{token: token.Int64}, err
		}
	}
	// The key looks free, but its row is locked by a transaction that completes
	// the claim and has not ended.
	return answer{rest: int64(lockedWait / p.unit())}, nil
}

func (p *postgres) prune(ctx context.Context, db *sql.DB, batch int) (deleted, later int64, err error) {
	err = p.auto(ctx, db, func(r runner) error {
		_, err := r.one(ctx, &p.pruning, []any{batch}, &deleted, &later)
		return err
	})
	return deleted, later, err
}

// auto runs f outside a transaction. If the database's default isolation is
// stricter than READ COMMITTED, a statement may fail because of a concurrent
// change of its row. auto then runs it again under READ COMMITTED, for which it
// was written. auto does not begin with such a transaction, because that takes
// two more round trips.
func (p *postgres) auto(ctx context.Context, db *sql.DB, f func(runner) error) error {
	err := f(direct{db})
	if !sqldb.IsConflict(err) {
		return err
	}
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // no effect after a commit
	if err := f(within{tx}); err != nil {
		return err
	}
	return tx.Commit()
}

// pause waits briefly before a repetition.
func pause(ctx context.Context, try int) error {
	if try == 0 {
		return nil
	}
	timer := time.NewTimer(time.Duration(1+rand.IntN(4<<try)) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
