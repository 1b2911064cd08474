package sqldb

import (
	"context"
	"database/sql/driver"

	"github.com/jackc/pgx/v5"
)

// CheckPooler reports whether connections go through a pooler such as
// PgBouncer. If they do, it returns an error that wraps [ErrConfig] unless the
// driver's protocol works with a different server connection for each
// transaction. prepared declares that the pooler supports prepared statements.
//
// The process ID tells whether there is a pooler. A pooler gives the connection
// an ID that is not that of the server process behind it. On SQLite, and with a
// driver other than pgx, CheckPooler recognizes no pooler.
func (db *DB) CheckPooler(ctx context.Context, prepared bool) (pooled bool, err error) {
	if db.dialect != Postgres {
		return false, nil
	}
	mode, pooled, err := db.askPID(ctx)
	if err != nil || !pooled || prepared {
		return pooled, err
	}
	switch mode {
	case pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheDescribe:
		return true, nil
	}
	return true, ConfigErrorf("the connections go through a pooler such as PgBouncer, and pgx prepares statements on them (%v), "+
		"which other server connections lack; add default_query_exec_mode=exec to the connection string, or use "+
		"WithPreparedStatements if the pooler supports prepared statements (PgBouncer 1.21 or later with max_prepared_statements, "+
		"or session mode)", mode)
}

func (db *DB) askPID(ctx context.Context) (mode pgx.QueryExecMode, pooled bool, err error) {
	ask := func(conn *pgx.Conn) error {
		var pid uint32
		if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid); err != nil {
			return err
		}
		mode, pooled = conn.Config().DefaultQueryExecMode, pid != conn.PgConn().PID()
		return nil
	}
	if db.pool != nil {
		conn, err := db.pool.Acquire(ctx)
		if err != nil {
			return mode, false, err
		}
		defer conn.Release()
		err = ask(conn.Conn())
		return mode, pooled, err
	}
	conn, err := db.sql.Conn(ctx)
	if err != nil {
		return mode, false, err
	}
	defer conn.Close()
	err = conn.Raw(func(c any) error {
		if own := pgxConn(c); own != nil {
			return ask(own)
		}
		return nil
	})
	return mode, pooled, err
}

// pgxConn returns the pgx connection within a driver's connection, or nil.
// Wrapping drivers, for example for tracing, have a method Raw.
func pgxConn(conn any) *pgx.Conn {
	switch c := conn.(type) {
	case interface{ Conn() *pgx.Conn }:
		return c.Conn()
	case interface{ Raw() driver.Conn }:
		return pgxConn(c.Raw())
	}
	return nil
}
