package sqldedupe_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

// A transaction that completes a claim with a pruned row inserts the row again.
// Until it ends, other claims of the key must return without waiting for it.
func TestClaim_DoesNotWaitForACompletionOfAPrunedRow(t *testing.T) {
	t.Parallel()
	b := openPostgres(t)
	s, other := b.store(b.db), b.store(b.open())
	for name, end := range map[string]func(*sql.Tx) error{"committed": (*sql.Tx).Commit, "rolled back": (*sql.Tx).Rollback} {
		k := key(name)
		c := claim(t, s, k, time.Minute, dedupe.Claimed)
		// Pruning does the same after the lease and a TTL.
		_, err := b.db.ExecContext(t.Context(), "DELETE FROM "+b.table)
		require.NoError(t, err)
		tx, err := b.db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, s.CompleteTx(t.Context(), tx, c))

		// The transaction ends only after the answers, so a claim that waits
		// for it would wait until this context ends.
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		for range 3 {
			answer, err := other.Claim(ctx, k, time.Minute)
			require.NoError(t, err, name)
			require.Equal(t, dedupe.InFlight, answer.State)
			require.Equal(t, time.Second, answer.RetryAfter)
		}
		cancel()
		require.NoError(t, end(tx))
		want := dedupe.Completed
		if name == "rolled back" {
			want = dedupe.Claimed
		}
		claim(t, other, k, time.Minute, want)
	}
}

// Tables of the same name in two schemas have nothing in common. A transaction
// that completes a claim in one of them does not keep the other's key.
func TestClaim_IgnoresATableOfTheSameName(t *testing.T) {
	t.Parallel()
	url := servicetest.PostgresURL(t)
	here, there := clockedPostgres(t, url), clockedPostgres(t, url)
	here.table, there.table = "same", "same"
	s, other := here.store(here.db, sqldedupe.InsecureUnsynced()), there.store(there.db, sqldedupe.InsecureUnsynced())
	c := claim(t, s, key("1"), time.Minute, dedupe.Claimed)
	_, err := here.db.ExecContext(t.Context(), "DELETE FROM "+here.table)
	require.NoError(t, err)
	tx, err := here.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	require.NoError(t, s.CompleteTx(t.Context(), tx, c))
	claim(t, other, key("1"), time.Minute, dedupe.Claimed)
}
