//go:build linux && (amd64 || arm64)

package database

import (
	"context"
	"os"
	"path/filepath"
	"sync"

	"github.com/deployhook/deployhook/internal/simulation/disk"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/sender/outbox"
)

// template returns the files of empty databases, which are made once.
var template = sync.OnceValues(newTemplate)

// newFolder makes a folder for a disk, in memory if possible. The disk needs
// only empty files there, but a machine whose own disk is busy makes each of
// them wait.
func newFolder() (string, error) {
	dir, err := os.MkdirTemp("/dev/shm", "simulation")
	if err != nil {
		dir, err = os.MkdirTemp("", "simulation")
	}
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

func newTemplate() (files map[string][]byte, err error) {
	dir, err := newFolder()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
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
	l, err := sqlledger.OpenSQLite(context.Background(), p.Path(ledgerFile))
	if err == nil {
		err = l.Close()
	}
	if err != nil {
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
