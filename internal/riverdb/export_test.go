package riverdb

import "github.com/riverqueue/river"

// Complete is what [DB.NewClient] makes of a configuration.
func (db *DB) Complete(c *river.Config) *river.Config { return db.complete(c) }
