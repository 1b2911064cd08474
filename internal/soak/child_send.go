package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// send publishes and delivers until ctx ends.
func (c *child) send(ctx context.Context) error {
	var o *outbox.Outbox
	var closeOutbox func() error
	err := eventually(ctx, func() (err error) {
		if o, closeOutbox, err = c.openOutbox(ctx, c.log); err != nil {
			return err
		}
		if err = o.Start(context.WithoutCancel(ctx)); err != nil {
			return errors.Join(err, closeOutbox())
		}
		return nil
	})
	if err != nil {
		return ended(ctx, err)
	}
	count := o.Faults
	c.faults.Store(&count)
	own, err := c.openApp(c.outboxFile())
	if err != nil {
		return errors.Join(err, closeOutbox())
	}
	c.report(report{Kind: isReady})
	c.publishAll(ctx, o, own)
	<-ctx.Done()
	if err := errors.Join(closeOutbox(), own.Close()); err != nil {
		c.log.Error("closing", "err", err) // the database may be down
	}
	return nil
}

// ended is nil if the process was told to end.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// publishAll publishes until the parent wants no more.
func (c *child) publishAll(ctx context.Context, o *outbox.Outbox, own *app) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / c.Rate))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-c.quiet:
			return
		case <-tick.C:
			c.publish(ctx, o, own, c.newID(n))
		}
	}
}

func (c *child) newID(n int) string {
	name, how := shop, "plain"
	if n%4 == 3 {
		name = bakery
	}
	if n%2 == 0 {
		how = "tx"
	}
	types := []payload.Type{payload.DeployStarted, payload.BuildCompleted, payload.DeployLive}
	return fmt.Sprintf("%s/%s/%s/%s/%d", name, types[rand.IntN(len(types))], how, c.Name, n)
}

// publish publishes one event. Those of kind tx have a row of the application
// in the same transaction.
func (c *child) publish(ctx context.Context, o *outbox.Outbox, own *app, id string) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	at := time.Now()
	c.report(report{Kind: isIntended, Event: id, At: at})
	target, event := o.App(appOf(id)), eventOf(id, at)
	var err error
	if inTransaction(id) {
		err = own.inTx(ctx, func(tx *sql.Tx) error {
			if err := own.insert(ctx, tx, "soak_release", id); err != nil {
				return err
			}
			_, err := target.PublishTx(ctx, tx, event, outbox.WithEventID(id))
			return err
		})
	} else {
		_, err = target.Publish(ctx, event, outbox.WithEventID(id))
	}
	if err != nil {
		c.log.Warn("publishing failed", "event", id, "err", err)
		return
	}
	c.report(report{Kind: isAcked, Event: id})
}
