//go:build linux && (amd64 || arm64)

package database

import (
	"context"
	"os"
	"path/filepath"
	"sync"

	"github.com/deployhook/deployhook/internal/simulation/disk"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/sender/outbox"
)

// template returns the files of empty databases, which are made once.
var template = sync.OnceValues(newTemplate)

func newTemplate() (files map[string][]byte, err error) {
	dir, err := os.MkdirTemp("", "simulation")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	d, err := disk.New(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	p, err := d.NewProcess("template", nil)
	if err != nil {
		return nil, err
	}
	if err := outbox.MigrateSQLite(context.Background(), p.Path(outboxFile)); err != nil {
		return nil, err
	}
	if err := inbox.MigrateSQLite(context.Background(), p.Path(inboxFile)); err != nil {
		return nil, err
	}
	for file, table := range map[string]string{
		outboxFile: `CREATE TABLE release (event text PRIMARY KEY)`,
		inboxFile:  `CREATE TABLE effect (delivery text NOT NULL)`,
	} {
		db, err := openOwn(p.Path(file))
		if err != nil {
			return nil, err
		}
		if _, err := db.Exec(table); err != nil {
			return nil, err
		}
		if err := db.Close(); err != nil {
			return nil, err
		}
	}
	return d.Copy(), nil
}
