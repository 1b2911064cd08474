package sqlledger_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"iter"
	"runtime"
	"testing"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

const (
	yearDeployments = 100_000
	commitsEach     = 10
)

// longHistory is a million commits, of which every fifth is a merge.
type longHistory struct{ start time.Time }

func commitAt(n int) (id dora.CommitID) {
	binary.BigEndian.PutUint64(id[:], uint64(n))
	return id
}

func (longHistory) Resolve(_ context.Context, _ dora.Repository, names []string) ([]dora.Resolved, error) {
	found := make([]dora.Resolved, len(names))
	for i, name := range names {
		id, ok := dora.ParseCommitID(name)
		found[i] = dora.Resolved{ID: id, Known: ok}
	}
	return found, nil
}

func (h longHistory) Walk(_ context.Context, _ dora.Repository, heads, bases []dora.CommitID) iter.Seq2[dora.Commit, error] {
	number := func(id dora.CommitID) int { return int(binary.BigEndian.Uint64(id[:])) }
	first, last := 0, 0
	for _, id := range bases {
		first = max(first, number(id)+1)
	}
	for _, id := range heads {
		last = max(last, number(id))
	}
	return func(yield func(dora.Commit, error) bool) {
		for n := last; n >= first; n-- {
			parents := []dora.CommitID{commitAt(n - 1)}
			if n%5 == 0 && n > 2 {
				parents = append(parents, commitAt(n-2))
			}
			at := h.start.Add(time.Duration(n) * 30 * time.Second)
			if !yield(dora.Commit{ID: commitAt(n), Parents: parents, Authored: at, Committed: at}, nil) {
				return
			}
		}
	}
}

// fillYear writes a year of one service. It writes the rows that Record would,
// many in a transaction.
func fillYear(b *testing.B, l *sqlledger.Ledger, db *sql.DB, start time.Time) {
	b.Helper()
	if _, err := l.Record(b.Context(), "acme", deployment("first", payload.StatusSuccess)); err != nil {
		b.Fatal(err)
	}
	scope := deployments.Scope{Service: "api", Environment: "production"}
	text := binary.AppendUvarint(nil, uint64(len(scope.Service)))
	hash := sha256.Sum256(append(append(text, scope.Service...), scope.Environment...))
	for n := 0; n < yearDeployments; {
		tx, err := db.BeginTx(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		for range 5000 {
			n++
			at := start.Add(time.Duration(n) * 300 * time.Second)
			run := deployments.Run{
				DeploymentID: fmt.Sprint("github-actions:", n), Scope: scope, Commit: commitAt(n * commitsEach).String(), Branch: "main",
				Status: payload.StatusSuccess, StartedAt: at.Add(-time.Minute), LiveAt: at, EndedAt: at,
			}
			switch {
			case n%50 == 0:
				run.Status, run.RolledBackAt = payload.StatusRolledBack, at.Add(time.Hour)
			case n%70 == 0: // goes back
				run.Commit = commitAt((n - 2) * commitsEach).String()
			}
			document, err := run.MarshalBinary()
			if err != nil {
				b.Fatal(err)
			}
			_, err = tx.ExecContext(b.Context(), `INSERT INTO deployhook_ledger_runs (organization, deployment_id, scope, run_at, run) VALUES ($1, $2, $3, $4, $5)`,
				[]byte("acme"), []byte(run.DeploymentID), hash[:], at.UnixMicro(), document)
			if err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

func yearLedgers() map[string]func(b *testing.B) (*sqlledger.Ledger, *sql.DB) {
	return map[string]func(b *testing.B) (*sqlledger.Ledger, *sql.DB){
		"sqlite": func(b *testing.B) (*sqlledger.Ledger, *sql.DB) {
			path := newPath(b)
			l := openSQLite(b, path)
			db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(5000)")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = db.Close() })
			return l, db
		},
		"postgres": func(b *testing.B) (*sqlledger.Ledger, *sql.DB) {
			db := newSchema(b)
			return newPostgres(b, db), db
		},
	}
}

// BenchmarkYear computes the metrics of a year with 100,000 deployments and a
// million commits. "first" reads all commits, "again" remembers them, and
// "runs" is the ledger alone.
func BenchmarkYear(b *testing.B) {
	start := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	w, err := dora.NewWindow("Europe/Berlin", "2025-01-01", "2026-01-01")
	if err != nil {
		b.Fatal(err)
	}
	for name, open := range yearLedgers() {
		b.Run(name, func(b *testing.B) {
			l, db := open(b)
			fillYear(b, l, db, start)
			scope := deployments.Scope{Service: "api", Environment: "production"}
			report := func(b *testing.B, c *dora.Calculator) {
				r, err := c.Report(b.Context(), "acme", scope, w)
				if err != nil {
					b.Fatal(err)
				}
				if r.DeploymentFrequency.N != yearDeployments || r.ChangeLeadTime.N < yearDeployments {
					b.Fatal(r.DeploymentFrequency.N, r.ChangeLeadTime.N)
				}
			}
			calculator := func(b *testing.B) *dora.Calculator {
				c, err := dora.New(l, dora.WithCommits(longHistory{start}))
				if err != nil {
					b.Fatal(err)
				}
				return c
			}
			b.Run("runs", func(b *testing.B) {
				for b.Loop() {
					for _, err := range l.Runs(b.Context(), "acme", scope, time.Time{}, time.Time{}) {
						if err != nil {
							b.Fatal(err)
						}
					}
				}
			})
			b.Run("first", func(b *testing.B) {
				for b.Loop() {
					report(b, calculator(b))
				}
			})
			b.Run("again", func(b *testing.B) {
				c := calculator(b)
				report(b, c)
				for b.Loop() {
					report(b, c)
				}
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MiB-kept")
				runtime.KeepAlive(c)
			})
		})
	}
}
