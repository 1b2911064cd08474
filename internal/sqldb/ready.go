package sqldb

import (
	"context"
	"crypto/rand"
	"fmt"
)

// liteProbe is the number of bytes that [DB.Ready] writes to a SQLite file. A
// row of this size needs new pages, which a full file does not have.
const liteProbe = 16 << 10

// pgProbe is smaller, because PostgreSQL keeps deleted rows until a vacuum.
const pgProbe = 32

// Probe has the statements with which [DB.Ready] writes. The parameter of both
// is a random key.
type Probe struct {
	// Insert adds a row that no other statement uses.
	Insert string
	// Delete removes the row. It is empty for a statement Insert that writes the
	// same row each time.
	Delete string
}

// Ready reports whether the database takes writes. It adds a row, removes it
// and commits, so other transactions never see the row. The error says what an
// operator can do.
func (db *DB) Ready(ctx context.Context, p Probe) error {
	key := make([]byte, pgProbe)
	if db.dialect == SQLite {
		key = make([]byte, liteProbe)
	}
	_, _ = rand.Read(key[:pgProbe]) // never fails
	err := db.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		for _, statement := range []string{p.Insert, p.Delete} {
			if statement == "" {
				continue
			}
			if _, err := tx.Exec(ctx, statement, key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Explain(fmt.Errorf("writing to the store: %w", err))
	}
	return nil
}
