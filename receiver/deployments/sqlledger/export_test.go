package sqlledger

import "github.com/deployhook/deployhook/internal/sqldb"

// HistoryStatements returns the reads of the metrics, for EXPLAIN.
func HistoryStatements() (runs, incidents, scopes string) { return runsFrom, incidentsFrom, allScopes }

// TimelineStatements returns the reads of the timeline, for EXPLAIN.
func TimelineStatements() (live, list string) { return liveAt, latest }

// Text is a statement as it reaches the database.
func Text(d Dialect, statement string) string {
	return sqldb.New(nil, d, DefaultTablePrefix).Text(statement)
}
