package ormtest

import (
	"context"
	"database/sql"

	"gorm.io/gorm"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

var _ = createRelease

// createRelease is the snippet of the outbox's documentation, so that it is
// compiled.
func createRelease(ctx context.Context, db *gorm.DB, app *outbox.App, release release, event *payload.Event) error {
	err := db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Create(&release).Error; err != nil {
			return err
		}
		_, err := app.PublishTx(ctx, tx.Statement.ConnPool.(*sql.Tx), event)
		return err
	})
	return err
}
