package sqldb

import (
	"context"
	"database/sql/driver"

	"github.com/jackc/pgx/v5"
)

// CheckPooler reports whether connections go through a pooler such as PgBouncer.
// If they do, it returns an error that wraps [ErrConfig] unless the driver's
// protocol works when each transaction gets another server connection. prepared
// says that the pooler keeps prepared statements.
//
// A pooler is recognised by the process ID: the one that the connection was told
// when it was made is not that of the server process behind it. On SQLite, and
// with a driver other than pgx, nothing is recognised.
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
	return true, ConfigErrorf("the connections go through a pooler such as PgBouncer, and pgx keeps prepared statements on them (%v), "+
		"which another server connection does not have; add default_query_exec_mode=exec to the connection string, or use "+
		"WithPreparedStatements if the pooler keeps prepared statements: PgBouncer 1.21 or later with max_prepared_statements, "+
		"or session mode", mode)
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

// pgxConn returns pgx's connection behind a driver's, or nil. Drivers that wrap
// another one, for tracing for example, have a method Raw.
func pgxConn(conn any) *pgx.Conn {
	switch c := conn.(type) {
	case interface{ Conn() *pgx.Conn }:
		return c.Conn()
	case interface{ Raw() driver.Conn }:
		return pgxConn(c.Raw())
	}
	return nil
}
