// Operate is the program of the guide in README.md. It makes a backup of an
// outbox that runs, restores it, and changes the sealing key. Then it ends.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

func main() {
	ctx, stop := service.Signals(context.Background())
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "operate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("operate", flag.ContinueOnError)
	dir := flags.String("dir", "", "`folder` of the SQLite files (default a temporary one)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		if *dir, err = os.MkdirTemp("", "operate"); err != nil {
			return err
		}
		defer os.RemoveAll(*dir)
	}
	w := world{dir: *dir, out: out}
	if w.hook, err = startReceiver(ctx); err != nil {
		return err
	}
	defer w.hook.server.Close()
	old, current := newKey("2026-05"), newKey("2026-11")
	for _, step := range []func() error{
		func() error { return w.backUp(ctx, old) },
		func() error { return w.restore(ctx, old) },
		func() error { return w.changeKey(ctx, old, current) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

type world struct {
	dir                string
	out                io.Writer
	hook               *hook
	endpoint, delivery string
}

func (w *world) show(step string, result ...any) {
	fmt.Fprintf(w.out, "%-52s %s\n", step, fmt.Sprint(result...))
}

func newKey(id string) outbox.SealingKey {
	secret := make([]byte, 32)
	rand.Read(secret)
	key, err := outbox.NewSealingKey(id, secret)
	if err != nil {
		panic(err) // the ID and the length are constant
	}
	return key
}

// open opens the outbox of a file in the folder.
func (w *world) open(ctx context.Context, current outbox.SealingKey, previous ...outbox.SealingKey) (*outbox.Outbox, error) {
	o, err := outbox.OpenSQLite(ctx, filepath.Join(w.dir, "outbox.db"),
		outbox.WithSealingKeys(current, previous...),
		outbox.WithLogger(slog.New(slog.DiscardHandler)),
		outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))) // for this program's receiver
	if err != nil {
		return nil, err
	}
	if err := o.Start(ctx); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// backUp publishes two events, the second while the receiver is down, and backs
// the file up before the second is delivered.
func (w *world) backUp(ctx context.Context, key outbox.SealingKey) error {
	o, err := w.open(ctx, key)
	if err != nil {
		return err
	}
	shop := o.App("shop")
	endpoint, secret, err := shop.CreateEndpoint(ctx, outbox.EndpointConfig{
		URL: sender.NewURL(w.hook.url), Events: []string{"deploy.*"}, Schedule: outbox.ScheduleStandardWebhooks, // the first retry comes after 5 seconds
	})
	if err == nil {
		w.endpoint = endpoint.ID
		err = w.hook.verify(secret.Reveal())
	}
	if err == nil {
		_, err = w.publish(ctx, shop, "dep_1", outbox.Delivered)
	}
	w.hook.up.Store(false)
	if err == nil {
		w.delivery, err = w.publish(ctx, shop, "dep_2", outbox.Pending)
	}
	if err == nil {
		w.show("published, the receiver is down for the second", "dep_1 delivered, dep_2 pending")
		err = vacuumInto(ctx, filepath.Join(w.dir, "outbox.db"), filepath.Join(w.dir, "backup.db"))
	}
	w.hook.up.Store(true)
	if err == nil {
		w.show("backup, while the outbox runs", "backup.db")
		err = w.hurry(ctx, shop, w.delivery)
	}
	if err == nil {
		w.show("the receiver is up again", "dep_2 delivered")
		_, err = w.publish(ctx, shop, "dep_3", outbox.Delivered)
	}
	if err == nil {
		w.show("published after the backup", "dep_3 delivered")
	}
	return errors.Join(err, o.Close())
}

// restore loses the file and starts with the backup.
func (w *world) restore(ctx context.Context, key outbox.SealingKey) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(w.dir, "outbox.db"+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(filepath.Join(w.dir, "backup.db"), filepath.Join(w.dir, "outbox.db")); err != nil {
		return err
	}
	o, err := w.open(ctx, key)
	if err != nil {
		return err
	}
	shop := o.App("shop")
	if err = w.hurry(ctx, shop, w.delivery); err == nil {
		w.show("restored; dep_2 was pending, so it is sent again", "the receiver has handled ", w.hook.handled.Load(), " events")
		_, err = w.publish(ctx, shop, "dep_3", outbox.Delivered)
	}
	if err == nil {
		w.show("dep_3 is unknown here, so it is published again", "the receiver has handled ", w.hook.handled.Load(), " events")
	}
	return errors.Join(err, o.Close())
}

// changeKey replaces the sealing key.
func (w *world) changeKey(ctx context.Context, old, current outbox.SealingKey) error {
	o, err := w.open(ctx, current, old)
	if err != nil {
		return err
	}
	endpoints, err := o.ReSeal(ctx)
	if err = errors.Join(err, o.Close()); err != nil {
		return err
	}
	w.show("sealed again with the new key", endpoints, " endpoint")
	if o, err = w.open(ctx, old); err != nil {
		return err
	}
	if _, err := o.App("shop").EndpointURL(ctx, w.endpoint); errors.Is(err, outbox.ErrUnseal) {
		w.show("opened with the old key only", "the URL can't be unsealed")
	}
	if err := o.Close(); err != nil {
		return err
	}
	if o, err = w.open(ctx, current); err != nil {
		return err
	}
	if _, err = w.publish(ctx, o.App("shop"), "dep_4", outbox.Delivered); err == nil {
		w.show("opened with the new key only", "dep_4 delivered")
	}
	return errors.Join(err, o.Close())
}

// publish publishes an event and waits until its delivery has a state. A
// pending one must have failed once.
func (w *world) publish(ctx context.Context, app *outbox.App, id string, state outbox.State) (string, error) {
	p, err := app.Publish(ctx, &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), DeploymentID: id, App: "shop", Environment: "production",
	}, outbox.WithEventID("live:"+id))
	if err != nil {
		return "", err
	}
	return p.Deliveries[0].ID, w.wait(ctx, app, p.Deliveries[0].ID, state)
}

func (w *world) wait(ctx context.Context, app *outbox.App, id string, state outbox.State) error {
	for {
		d, err := app.Delivery(ctx, id)
		if err != nil || (d.State == state && d.Attempts > 0) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// hurry makes a pending delivery due now, and waits until it is delivered.
func (w *world) hurry(ctx context.Context, app *outbox.App, id string) error {
	return errors.Join(app.Replay(ctx, id), w.wait(ctx, app, id, outbox.Delivered))
}
