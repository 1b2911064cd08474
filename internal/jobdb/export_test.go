package jobdb

import "github.com/riverqueue/river"

// Complete returns the configuration that [DB.NewClient] uses.
func (db *DB) Complete(c *river.Config) *river.Config { return db.complete(c) }
