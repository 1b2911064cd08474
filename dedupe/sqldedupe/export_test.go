package sqldedupe

// PruneStatements returns the statements that prune, for EXPLAIN.
func PruneStatements(d Dialect, table string) []string {
	n, err := newNames(d, table)
	if err != nil {
		panic(err)
	}
	if d == Postgres {
		return []string{n.expand(pgPrune)}
	}
	return []string{n.expand(liteLater), n.expand(liteGone)}
}
