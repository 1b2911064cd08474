package outbox_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

const canary = "canary-7f3a1c5e9b"

// The database's files contain no URL, header, secret or private key.
func TestCredentialsAreSealedAtRest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "outbox.db")
	w := &world{path: path}
	o, err := w.tryOpen()
	require.NoError(t, err)
	c := endpointAt("https://127.0.0.1:1/" + canary)
	c.Header = sender.NewHeader(http.Header{"X-Api-Key": {canary}})
	c.Scheme, c.Secret = outbox.SchemeTimestamped, outbox.NewSecret(canary)
	cert, private := newAuthority(t, "ca").issue(t, newECDSA(t), nil)
	c.ClientCertificate = outbox.NewClientCertificate(cert, private)
	block, _ := pem.Decode([]byte(private))
	e, _ := create(t, o.App("shop"), c)
	_, err = o.App("shop").RotateSecret(t.Context(), e.ID, canary+"-again", 1e12)
	require.NoError(t, err)
	publish(t, o.App("shop"), event(payload.DeployLive, "dep_visible"))
	require.NoError(t, o.Close())
	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	seen := false
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NotContains(t, string(data), canary, name)
		require.NotContains(t, string(data), base64.StdEncoding.EncodeToString(block.Bytes[:30]), name)
		require.False(t, bytesContains(data, string(block.Bytes[:30])), name)
		seen = seen || bytesContains(data, "dep_visible")
	}
	require.True(t, seen, "looked into the wrong files")
}

func TestTheDatabaseHasNoCredentials(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		c := endpointAt("http://127.0.0.1:1/" + canary)
		c.Header = sender.NewHeader(http.Header{"X-Api-Key": {canary}})
		c.Scheme, c.Secret = outbox.SchemeBearer, outbox.NewSecret(canary)
		create(t, o.App("shop"), c)
		all, err := o.App("shop").Endpoints(t.Context())
		require.NoError(t, err)
		require.NotContains(t, fmt.Sprintf("%+v", all), canary)
		require.Equal(t, "http://127.0.0.1:1", all[0].Host)
		if w.pool == nil {
			return
		}
		rows, err := w.pool.Query(t.Context(), `SELECT to_jsonb(e)::text, encode(url, 'escape') || encode(header, 'escape') || encode(keys, 'escape')
			FROM deployhook_outbox.outbox_endpoint e`)
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var text, blobs string
			require.NoError(t, rows.Scan(&text, &blobs))
			require.NotContains(t, text+blobs, canary)
		}
		require.NoError(t, rows.Err())
	})
}

func TestOnlyTheRightKeyOpens(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		h := newHook(t, nil)
		o := w.open(t)
		e, _ := create(t, o.App("shop"), endpointAt(h.URL))
		next := newKey("k2")
		for name, key := range map[string]outbox.SealingKey{"another key": next, "another secret of that name": newKey("k1")} {
			wrong := w.open(t, outbox.WithSealingKeys(key))
			_, err := wrong.App("shop").RotateSecret(t.Context(), e.ID, "", 0)
			require.ErrorIs(t, err, outbox.ErrUnseal, name)
			require.NotContains(t, err.Error(), h.URL)
			_, err = wrong.ReSeal(t.Context())
			if name == "another key" {
				require.ErrorIs(t, err, outbox.ErrUnseal)
			}
		}

		both := w.open(t, outbox.WithSealingKeys(next, testKey))
		n, err := both.ReSeal(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		n, err = both.ReSeal(t.Context())
		require.NoError(t, err)
		require.Zero(t, n)
		only := w.start(t, outbox.WithSealingKeys(next))
		p := publish(t, only.App("shop"), event(payload.DeployLive, "dep_1"))
		settled(t, only, p.Deliveries[0].ID, outbox.Delivered)
		_, err = o.App("shop").RotateSecret(t.Context(), e.ID, "", 0)
		require.ErrorIs(t, err, outbox.ErrUnseal, "the old key still opens")
	})
}

// An attacker can write to the database but has no key. Moving a sealed value
// to another endpoint or column gains nothing.
func TestSealedValuesCantBeMoved(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		a, _ := create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/a"))
		b, _ := create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/b"))
		w.exec(t, `UPDATE {t} SET keys = (SELECT keys FROM {t} WHERE id = '`+a.ID+`') WHERE id = '`+b.ID+`'`)
		_, _, err := o.App("shop").TestEndpoint(t.Context(), b.ID)
		require.ErrorIs(t, err, outbox.ErrUnseal)
		require.Contains(t, err.Error(), "keys")
		w.exec(t, `UPDATE {t} SET url = header WHERE id = '`+a.ID+`'`)
		_, _, err = o.App("shop").TestEndpoint(t.Context(), a.ID)
		require.ErrorIs(t, err, outbox.ErrUnseal)
		w.exec(t, `UPDATE {t} SET url = '' WHERE id = '`+a.ID+`'`)
		_, _, err = o.App("shop").TestEndpoint(t.Context(), a.ID)
		require.ErrorIs(t, err, outbox.ErrUnseal)
	})
}

// An attacker who can write to the database changes the app or the scheme of an
// endpoint. Nothing is sent any more, not even by a process that has unsealed
// the endpoint before. Deliveries go on once the row is as it was.
func TestAnEndpointStaysWithItsAppAndScheme(t *testing.T) {
	t.Parallel()
	for column, value := range map[string]string{"app": "victim", "scheme": "bearer"} {
		t.Run(column, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, w *world) {
				log, in, release := &lockedBuffer{}, make(chan struct{}, 9), make(chan struct{})
				h := newHook(t, func(int, received) int { in <- struct{}{}; <-release; return http.StatusOK })
				o := w.start(t, outbox.WithLogger(slog.New(slog.NewTextHandler(log, nil))), outbox.WithMaxTimeout(patience))
				require.NoError(t, o.RegisterApp(t.Context(), "victim"))
				c := endpointAt(h.URL)
				c.MaxConcurrency, c.Timeout = 1, patience // the first attempt lasts until the columns have changed
				c.Scheme = outbox.SchemeTimestamped       // whose key could be sent as a bearer token
				e, _ := create(t, o.App("shop"), c)
				first := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
				<-in
				waiting := publish(t, o.App("shop"), event(payload.DeployLive, "dep_2")).Deliveries[0].ID

				// A worker that has loaded it before the change would send it.
				eventually(t, func() bool { return w.asleep(t) == 1 }, "the second delivery does not wait for the first")
				w.exec(t, `UPDATE {t} SET `+column+` = '`+value+`'`)
				owner := o.App("shop")
				if column == "app" {
					owner = o.App(value)
				}
				later := publish(t, owner, event(payload.DeployLive, "dep_3")).Deliveries[0].ID
				close(release)
				settled(t, o, first, outbox.Delivered)
				for _, id := range []string{waiting, later} {
					eventually(t, func() bool {
						return strings.Contains(log.String(), "can't unseal") && strings.Contains(log.String(), id)
					}, "sent, or no reason given")
				}
				_, _, err := owner.TestEndpoint(t.Context(), e.ID)
				require.ErrorIs(t, err, outbox.ErrUnseal)
				_, err = owner.RotateSecret(t.Context(), e.ID, "", 0)
				require.ErrorIs(t, err, outbox.ErrUnseal)
				require.Equal(t, 1, h.count())

				w.exec(t, `UPDATE {t} SET app = 'shop', scheme = 'timestamped'`)
				require.NoError(t, o.App("shop").Replay(t.Context(), waiting))
				settled(t, o, waiting, outbox.Delivered)
			})
		})
	}
}

func TestKeysAreCheckedAndNotPrinted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id     string
		secret []byte
	}{{"", make([]byte, 32)}, {"a b", make([]byte, 32)}, {"k", make([]byte, 31)}, {"k", make([]byte, 32)}, {"k", nil}} {
		_, err := outbox.NewSealingKey(c.id, c.secret)
		require.ErrorIs(t, err, outbox.ErrConfig)
	}
	secret := []byte("0123456789abcdef0123456789abcdef")
	k, err := outbox.NewSealingKey("2026-11", secret)
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		require.Equal(t, "sealing key 2026-11", fmt.Sprintf(verb, k))
	}
}

// A rotation and a change of settings that start at the same moment both take
// effect, in either order.
func TestAChangeOfSettingsKeepsARotation(t *testing.T) {
	t.Parallel()
	address := sqldbtest.NewDatabase(t)
	w := &world{url: address, pool: sqldbtest.OpenPool(t, address)}
	o := w.start(t)
	h := newHook(t, nil)
	c := endpointAt(h.URL)
	c.Scheme, c.Secret = outbox.SchemeBearer, outbox.NewSecret("old-key-0123456789abcdefghijklmnopqrstuvw")
	e, _ := create(t, o.App("shop"), c)
	tx, err := w.pool.Begin(t.Context()) // makes both wait, so that the order is always the same
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT 1 FROM deployhook_outbox.outbox_endpoint WHERE id = $1 FOR UPDATE`, e.ID)
	require.NoError(t, err)
	rotated, updated := make(chan error, 1), make(chan error, 1)
	waiting := func(n int) func() bool {
		return func() bool {
			var got int
			err := w.pool.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&got)
			return err == nil && got == n
		}
	}
	go func() {
		_, err := o.App("shop").RotateSecret(context.Background(), e.ID, "new-key-0123456789abcdefghijklmnopqrstuvw", 0)
		rotated <- err
	}()
	eventually(t, waiting(1), "the rotation waits for the lock")
	go func() {
		_, err := o.App("shop").UpdateEndpoint(context.Background(), e.ID, outbox.EndpointUpdate{Description: new("hello")})
		updated <- err
	}()
	eventually(t, waiting(2), "the update waits for the lock")
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-rotated)
	require.NoError(t, <-updated)
	got, err := o.App("shop").Endpoint(t.Context(), e.ID)
	require.NoError(t, err)
	require.Equal(t, "hello", got.Description)
	settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Delivered)
	require.Contains(t, h.requests()[0].header.Get("Authorization"), "new-key")
}

func TestRotationsSurviveUpdates(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		e, _ := create(t, o.App("shop"), endpointAt(newHook(t, nil).URL))
		for range 30 {
			updated := make(chan error, 1)
			go func() {
				_, err := o.App("shop").UpdateEndpoint(context.Background(), e.ID, outbox.EndpointUpdate{Description: new("hello")})
				updated <- err
			}()
			s, err := o.App("shop").RotateSecret(t.Context(), e.ID, "", 0)
			require.NoError(t, err)
			require.NoError(t, <-updated)
			_, err = o.App("shop").RotateSecret(t.Context(), e.ID, s.Reveal(), time.Minute)
			require.ErrorIs(t, err, outbox.ErrInvalid, "the new secret must be the one that is in use")
		}
	})
}

func TestReSealLeavesAloneWhatIsSealedWithTheCurrentKey(t *testing.T) {
	t.Parallel()
	address := sqldbtest.NewDatabase(t)
	w := &world{url: address, pool: sqldbtest.OpenPool(t, address)}
	o := w.open(t)
	create(t, o.App("shop"), endpointAt(newHook(t, nil).URL))
	version := func() (n int64) {
		require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT version FROM `+w.table("outbox_endpoint")).Scan(&n))
		return n
	}
	before := version()
	n, err := o.ReSeal(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, before, version())
}

func TestSealingKeys_TwoWithOneID(t *testing.T) {
	t.Parallel()
	one, err := outbox.NewSealingKey("2026-11", []byte("0123456789abcdefghijklmnopqrstuv"))
	require.NoError(t, err)
	two, err := outbox.NewSealingKey("2026-11", []byte("vutsrqponmlkjihgfedcba9876543210"))
	require.NoError(t, err)
	_, err = outbox.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "outbox.db"), outbox.WithSealingKeys(two, one))
	require.ErrorIs(t, err, outbox.ErrConfig)
	require.EqualError(t, err, "outbox: invalid configuration: WithSealingKeys: two keys have the ID 2026-11; give a new key an ID of its own")
}
