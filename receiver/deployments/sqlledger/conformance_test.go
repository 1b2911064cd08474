package sqlledger_test

import (
	"sync"
	"testing"

	"github.com/deployhook/deployhook/receiver/deployments/ledgertest"
)

// The two instances of a ledger have separate pools, like two processes.

func TestSQLiteConformance(t *testing.T) {
	t.Parallel()
	var paths sync.Map // path of each ledger
	ledgertest.Run(t, ledgertest.Config{
		New: func(t testing.TB) ledgertest.Ledger {
			path := newPath(t)
			l := openSQLite(t, path)
			paths.Store(l, path)
			return l
		},
		Other: func(t testing.TB, l ledgertest.Ledger) ledgertest.Ledger {
			path, _ := paths.Load(l)
			return openSQLite(t, path.(string))
		},
	})
}

func TestPostgresConformance(t *testing.T) {
	t.Parallel()
	one := newSchema(t)
	ledger := newPostgres(t, one)
	var search string
	if err := one.QueryRowContext(t.Context(), "SHOW search_path").Scan(&search); err != nil {
		t.Fatal(err)
	}
	other := newPostgres(t, poolOn(t, search))
	ledgertest.Run(t, ledgertest.Config{
		New:   func(testing.TB) ledgertest.Ledger { return ledger },
		Other: func(testing.TB, ledgertest.Ledger) ledgertest.Ledger { return other },
	})
}
