package outbox

import (
	goflag "flag"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// Full makes the tests that compute for long use their full counts.
var Full = goflag.Bool("outbox.full", false, "use the full counts of the proofs and of the tests with large tables; the gate sets it for the latter")

// large returns the size of a table, which is a tenth of n on SQLite without
// -outbox.full. PostgreSQL uses no index for small tables.
func (o *inside) large(n int) int {
	if *Full || o.db.Dialect() == jobdb.Postgres {
		return n
	}
	return n / 10
}
