//go:build linux && (amd64 || arm64)

package database

import (
	"database/sql"
	"time"

	"github.com/deployhook/deployhook/internal/simulation/disk"
	"github.com/deployhook/deployhook/sender/outbox"
)

// observer reads the outbox's tables with a process of its own, at quiescence.
type observer struct {
	world  *world
	files  *disk.Process
	known  map[string]row
	looked time.Time            // for what is overdue
	asleep map[string]time.Time // since when a due delivery is known to be asleep
	late   map[string]bool      // deliveries that were reported as overdue
}

// row is what a delivery's row says.
type row struct {
	id, app, event, endpoint, state string
	attempts, replays, job          int64
}

// query reads a database on a connection that begins and ends with it.
func (o *observer) query(file string, read func(db *sql.DB) error) {
	db, err := openOwn(o.files.Path(file))
	if err == nil {
		if err = read(db); err == nil {
			err = db.Close()
		}
	}
	if err != nil {
		o.world.Violate("the database can't be read: %v", err)
	}
}

// look compares the deliveries with what they were before. It does nothing
// while no process runs, so that the next one finds the files as the last one
// left them.
func (o *observer) look() {
	if o.world.anyNode(0) == nil {
		return
	}
	o.query(outboxFile, func(db *sql.DB) error {
		rows, err := db.Query(`SELECT id, app, event, endpoint, state, attempts, replays, job FROM outbox_delivery`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r row
			if err := rows.Scan(&r.id, &r.app, &r.event, &r.endpoint, &r.state, &r.attempts, &r.replays, &r.job); err != nil {
				return err
			}
			o.compare(r)
		}
		return rows.Err()
	})
	o.checkOverdue()
	o.world.ledgers.look()
}

// compare checks one step of a delivery's life.
func (o *observer) compare(r row) {
	before, seen := o.known[r.id]
	o.known[r.id] = r
	w := o.world
	if !seen {
		w.Cover("delivery: published as " + r.state)
		return
	}
	if before.state != r.state {
		w.Cover("delivery: " + before.state + " to " + r.state)
	}
	ended := before.state != string(outbox.Pending)
	switch {
	case r.attempts < before.attempts || r.replays < before.replays:
		w.Violate("delivery %s had %d attempts and %d replays, and has %d and %d", r.id, before.attempts, before.replays, r.attempts, r.replays)
	case ended && r.replays == before.replays && r.state != before.state && r.state != string(outbox.Delivered):
		w.Violate("delivery %s was %s, and is %s without a replay", r.id, before.state, r.state)
	}
}
