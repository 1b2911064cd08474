package ormtest

import (
	"context"
	"database/sql"
	"net/netip"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq" // driver "postgres"
	"github.com/libtnb/sqlite"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/driver/pgdriver"
	"github.com/uptrace/bun/schema"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// release is a row of the application.
type release struct {
	ID      string `bun:",pk"`
	Version string
}

// library is the application's way to the outbox's database.
type library struct {
	// inTx runs f in a transaction, and commits it if f returns nil. Within f,
	// insert stores a row by means of the library.
	inTx func(ctx context.Context, f func(tx *sql.Tx, insert func(r release) error) error) error
	// ids returns the committed rows.
	ids func(ctx context.Context) ([]string, error)
}

// backend is a library on a database with an outbox.
type backend struct {
	name     string
	postgres bool
	// closes says that the driver closes a connection on which the server has
	// canceled a statement. The transaction is lost then.
	closes bool
	open   func(t *testing.T, address string) library
}

var backends = []backend{
	{"GORM on PostgreSQL", true, false, func(t *testing.T, address string) library { return openGORM(t, postgres.Open(address)) }},
	{"GORM on SQLite", false, false, func(t *testing.T, address string) library { return openGORM(t, sqlite.Open(address)) }},
	{"Bun on PostgreSQL with pgx", true, false, func(t *testing.T, address string) library {
		return openBun(t, openSQL(t, "pgx", address), pgdialect.New())
	}},
	{"Bun on PostgreSQL with pgdriver", true, true, func(t *testing.T, address string) library {
		return openBun(t, sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(address))), pgdialect.New())
	}},
	{"Bun on SQLite", false, false, func(t *testing.T, address string) library {
		return openBun(t, openSQL(t, "sqlite", address), sqlitedialect.New())
	}},
	// The protocols that work through a pooler in transaction mode.
	{"database-sql with pgx, exec", true, false, func(t *testing.T, address string) library {
		return openStandard(t, openSQL(t, "pgx", sqldbtest.ExecMode(t, address)))
	}},
	{"database-sql with pgx, simple protocol", true, false, func(t *testing.T, address string) library {
		return openStandard(t, openSQL(t, "pgx", address+"&default_query_exec_mode=simple_protocol"))
	}},
	{"database-sql with lib-pq", true, false, func(t *testing.T, address string) library {
		return openStandard(t, openSQL(t, "postgres", address))
	}},
}

// onEach runs a test on each backend. The outbox runs, and the library has a
// table for its rows.
func onEach(t *testing.T, test func(t *testing.T, o *outbox.Outbox, lib library, b backend)) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			o, address := openOutbox(t, b.postgres)
			require.NoError(t, o.Start(context.Background()))
			t.Cleanup(func() { require.NoError(t, o.Close()) })
			test(t, o, b.open(t, address), b)
		})
	}
}

func openOutbox(t *testing.T, onPostgres bool) (o *outbox.Outbox, address string) {
	t.Helper()
	key, err := outbox.NewSealingKey("k1", []byte("0123456789abcdefghijklmnopqrstuv"))
	require.NoError(t, err)
	opts := []outbox.Option{
		outbox.WithSealingKeys(key), outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))),
	}
	if onPostgres {
		address = sqldbtest.NewDatabase(t)
		o, err = outbox.NewPostgres(t.Context(), sqldbtest.OpenPool(t, address), opts...)
	} else {
		path := filepath.Join(t.TempDir(), "app.db")
		q := url.Values{"_pragma": {"busy_timeout(60000)", "journal_mode(WAL)"}, "_txlock": {"immediate"}}
		address = (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
		o, err = outbox.OpenSQLite(t.Context(), path, opts...)
	}
	require.NoError(t, err)
	return o, address
}

func openSQL(t *testing.T, driver, address string) *sql.DB {
	t.Helper()
	_ = stdlib.GetDefaultDriver() // registers the driver "pgx"
	db, err := sql.Open(driver, address)
	require.NoError(t, err)
	return db
}

func openGORM(t *testing.T, dialect gorm.Dialector) library {
	t.Helper()
	db, err := gorm.Open(dialect, &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	standard, err := db.DB()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, standard.Close()) })
	require.NoError(t, db.AutoMigrate(&release{}))
	return library{
		inTx: func(ctx context.Context, f func(tx *sql.Tx, insert func(r release) error) error) error {
			return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
				return f(tx.Statement.ConnPool.(*sql.Tx), func(r release) error { return tx.Create(&r).Error })
			})
		},
		ids: func(ctx context.Context) (ids []string, err error) {
			return ids, db.WithContext(ctx).Model(&release{}).Order("id").Pluck("id", &ids).Error
		},
	}
}

func openBun(t *testing.T, standard *sql.DB, dialect schema.Dialect) library {
	t.Helper()
	db := bun.NewDB(standard, dialect)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err := db.NewCreateTable().Model((*release)(nil)).Exec(t.Context())
	require.NoError(t, err)
	return library{
		inTx: func(ctx context.Context, f func(tx *sql.Tx, insert func(r release) error) error) error {
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				return f(tx.Tx, func(r release) error {
					_, err := tx.NewInsert().Model(&r).Exec(ctx)
					return err
				})
			})
		},
		ids: func(ctx context.Context) (ids []string, err error) {
			return ids, db.NewSelect().Model((*release)(nil)).Column("id").Order("id").Scan(ctx, &ids)
		},
	}
}

func openStandard(t *testing.T, db *sql.DB) library {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err := db.ExecContext(t.Context(), "CREATE TABLE releases (id text PRIMARY KEY, version text)")
	require.NoError(t, err)
	return library{
		inTx: func(ctx context.Context, f func(tx *sql.Tx, insert func(r release) error) error) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
			err = f(tx, func(r release) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO releases VALUES ($1, $2)", r.ID, r.Version)
				return err
			})
			if err != nil {
				return err
			}
			return tx.Commit()
		},
		ids: func(ctx context.Context) (ids []string, err error) {
			rows, err := db.QueryContext(ctx, "SELECT id FROM releases ORDER BY id")
			if err != nil {
				return nil, err
			}
			defer rows.Close()
			for rows.Next() {
				var id string
				if err := rows.Scan(&id); err != nil {
					return nil, err
				}
				ids = append(ids, id)
			}
			return ids, rows.Err()
		},
	}
}
