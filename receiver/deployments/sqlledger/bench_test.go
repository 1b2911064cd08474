package sqlledger_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

// BenchmarkCreate and BenchmarkUpdate compare the ledger with hand-written
// transactions of the driver. Those run the same statements under the same lock
// on the organization, but without the rules.

func BenchmarkCreate(b *testing.B) {
	benchmark(b, func(b *testing.B, db *sql.DB, f floor) {
		d := deployment("", payload.StatusSuccess)
		n := 0
		for b.Loop() {
			n++
			d.DeploymentID = fmt.Sprint("floor-", n)
			f.create(b, db, d, n)
		}
	}, func(b *testing.B, l *sqlledger.Ledger) {
		d := deployment("", payload.StatusSuccess)
		n := 0
		for b.Loop() {
			n++
			d.DeploymentID = fmt.Sprint(n)
			record(b, l, d)
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	benchmark(b, func(b *testing.B, db *sql.DB, f floor) {
		d := deployment("floor-0", payload.StatusSuccess)
		f.create(b, db, d, 0)
		n := 0
		for b.Loop() {
			n++
			d.Branch = fmt.Sprint(n)
			f.update(b, db, d)
		}
	}, func(b *testing.B, l *sqlledger.Ledger) {
		d := deployment("0", payload.StatusSuccess)
		n := 0
		for b.Loop() {
			n++
			d.Branch = fmt.Sprint(n)
			record(b, l, d)
		}
	})
}

func record(b *testing.B, l *sqlledger.Ledger, d *payload.Deployment) {
	if _, err := l.Record(b.Context(), "acme", d); err != nil {
		b.Fatal(err)
	}
}

func benchmark(b *testing.B, bare func(*testing.B, *sql.DB, floor), ours func(*testing.B, *sqlledger.Ledger)) {
	b.Run("sqlite/floor", func(b *testing.B) {
		path := newPath(b)
		openSQLite(b, path)
		db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		bare(b, db, floor{})
	})
	b.Run("sqlite/ours", func(b *testing.B) { ours(b, openSQLite(b, newPath(b))) })
	b.Run("postgres/floor", func(b *testing.B) {
		db := newSchema(b)
		newPostgres(b, db)
		bare(b, db, floor{lock: " FOR UPDATE"})
	})
	b.Run("postgres/ours", func(b *testing.B) { ours(b, newPostgres(b, newSchema(b))) })
}

type floor struct{ lock string }

func (f floor) begin(b *testing.B, db *sql.DB) (*sql.Tx, func(statement string, args ...any)) {
	ctx := context.Background()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	return tx, func(statement string, args ...any) {
		if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
			b.Fatal(err)
		}
	}
}

const selection = `SELECT id, document FROM deployhook_ledger_deployments WHERE organization = $1 `

// read scans a row that may be missing.
func read(b *testing.B, tx *sql.Tx, statement string, args ...any) {
	var id int64
	var document []byte
	if err := tx.QueryRowContext(context.Background(), statement, args...).Scan(&id, &document); err != nil && err != sql.ErrNoRows {
		b.Fatal(err)
	}
}

func (f floor) lockOrg(b *testing.B, tx *sql.Tx) {
	var id int64
	err := tx.QueryRowContext(context.Background(), "SELECT last_id FROM deployhook_ledger_organizations WHERE organization = $1"+f.lock, []byte("acme")).Scan(&id)
	if err != nil && err != sql.ErrNoRows {
		b.Fatal(err)
	}
}

func (f floor) create(b *testing.B, db *sql.DB, d *payload.Deployment, n int) {
	tx, exec := f.begin(b, db)
	org, id, scope, at := []byte("acme"), []byte(d.DeploymentID), []byte("0123456789abcdef0123456789abcdef"), d.CompletedAt.UnixMicro()
	f.lockOrg(b, tx)
	read(b, tx, selection+`AND deployment_id = $2`, org, id)
	read(b, tx, selection+`AND scope = $2 AND succeeded_at IS NOT NULL AND (position_at, deployment_id) < ($3, $4) ORDER BY position_at DESC, deployment_id DESC LIMIT 1`, org, scope, at, id)
	document, err := d.Encode()
	if err != nil {
		b.Fatal(err)
	}
	exec(`INSERT INTO deployhook_ledger_organizations VALUES ($1, $2) ON CONFLICT (organization) DO UPDATE SET last_id = $2`, org, n)
	exec(`INSERT INTO deployhook_ledger_deployments (deployment_id, service, environment, scope, status, started_at, position_at, succeeded_at, document, reports,
		previous_given, previous_commits, linked, linked_prs, recorded_at, updated_at, organization, id) VALUES ($1, $2, $3, $4, 'success', $5, $6, $6, $7, $7, FALSE, 'null', FALSE, 0, 0, 0, $8, $9)`,
		id, []byte(d.Service), []byte(d.Environment), scope, d.StartedAt.UnixMicro(), at, document, org, n)
	exec(`INSERT INTO deployhook_ledger_scopes (organization, scope, service, environment) VALUES ($1, $2, $3, $4) ON CONFLICT (organization, scope) DO NOTHING`,
		org, scope, []byte(d.Service), []byte(d.Environment))
	exec(`INSERT INTO deployhook_ledger_runs (organization, deployment_id, scope, run_at, run) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (organization, deployment_id) DO UPDATE SET scope = excluded.scope, run_at = excluded.run_at, run = excluded.run`, org, id, scope, at, document)
	read(b, tx, selection+`AND scope = $2 AND (position_at, deployment_id) > ($3, $4) ORDER BY position_at, deployment_id LIMIT 1`, org, scope, at, id)
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}

func (f floor) update(b *testing.B, db *sql.DB, d *payload.Deployment) {
	tx, exec := f.begin(b, db)
	org, id := []byte("acme"), []byte(d.DeploymentID)
	f.lockOrg(b, tx)
	read(b, tx, selection+`AND deployment_id = $2`, org, id)
	read(b, tx, selection+`AND scope = $2 AND succeeded_at IS NOT NULL AND (position_at, deployment_id) < ($3, $4) ORDER BY position_at DESC, deployment_id DESC LIMIT 1`,
		org, []byte("0123456789abcdef0123456789abcdef"), d.CompletedAt.UnixMicro(), id)
	document, err := d.Encode()
	if err != nil {
		b.Fatal(err)
	}
	exec(`UPDATE deployhook_ledger_deployments SET document = $1 WHERE organization = $2 AND deployment_id = $3`, document, org, id)
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}
