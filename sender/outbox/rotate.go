package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/internal/riverdb"
)

// RotateSecret gives an endpoint a new secret and returns it, to be shown once; text is the new secret, or empty to generate
// one ([SchemeBearer] needs it given).
//
// For the length of grace the old secret stays in use: every delivery is signed with both (Standard, Ed25519, Stripe), or, where a
// request has room for one signature only (Timestamped, Bearer), with the old one, so that the customer has that long to put the new
// one in place beside it. With a grace of zero the old one is out of use at once. A rotation within a rotation ends the older of
// the secrets. At most 30 days.
func (o *Outbox) RotateSecret(ctx context.Context, id, text string, grace time.Duration) (Secret, error) {
	if err := o.open(); err != nil {
		return Secret{}, err
	}
	if grace < 0 || grace > 30*24*time.Hour {
		return Secret{}, fieldError("grace", "%v: want 0 to 30 days", grace)
	}
	var shown Secret
	err := o.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		if err := o.lockEndpoint(ctx, tx, id); err != nil {
			return err
		}
		e, err := o.readOpen(ctx, tx, id)
		if err != nil {
			return err
		}
		if shown, err = e.rotate(text, time.Now(), grace); err != nil {
			return err
		}
		return o.updateSealed(ctx, tx, e)
	})
	if err != nil {
		return Secret{}, wrap("rotating secret", err)
	}
	return shown, nil
}

func (e *endpointRow) rotate(text string, now time.Time, grace time.Duration) (Secret, error) {
	if e.Scheme == InsecureUnsigned {
		return Secret{}, fieldError("Scheme", "unsigned endpoints have no secret")
	}
	key, shown, err := e.Scheme.newKey(text)
	if err != nil {
		return Secret{}, err
	}
	keys := []storedKey{key}
	if len(e.keys) > 0 && grace > 0 {
		if e.keys[0].text.Reveal() == key.text.Reveal() {
			return Secret{}, fieldError("Secret", "is the one that is in use")
		}
		old := e.keys[0]
		old.NotAfter = micros(now.Add(grace))
		keys = append(keys, old)
	}
	e.keys, e.UpdatedAt = keys, now
	_, _, err = e.Scheme.signer(e.SignatureHeader, e.keys, now)
	return shown, err
}

// lockEndpoint makes other changes of the endpoint wait until this transaction has ended.
func (o *Outbox) lockEndpoint(ctx context.Context, tx *riverdb.Tx, id string) error {
	if !storable(id) {
		return fmt.Errorf("%w: %s", ErrUnknownEndpoint, clean(id))
	}
	n, err := tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET version = version + 1 WHERE id = ?`, id)
	if err == nil && n == 0 {
		return fmt.Errorf("%w: %s", ErrUnknownEndpoint, id)
	}
	return err
}

// ReSeal seals every endpoint anew that is not sealed with the current key, and returns how many there were. Call it after a
// change of keys, see [WithSealingKeys]; it may be called again after an error, and while deliveries run.
func (o *Outbox) ReSeal(ctx context.Context) (int, error) {
	if err := o.open(); err != nil {
		return 0, err
	}
	ids, err := riverdb.Collect(ctx, o.db, func(r riverdb.Row) (id string, err error) { return id, r.Scan(&id) },
		`SELECT id FROM {schema}outbox_endpoint ORDER BY id`)
	if err != nil {
		return 0, wrap("reading endpoints", err)
	}
	count := 0
	for _, id := range ids {
		done, err := o.reSealOne(ctx, id)
		if err != nil && !errors.Is(err, ErrUnknownEndpoint) {
			return count, wrap("sealing anew", err)
		}
		if done {
			count++
		}
	}
	return count, nil
}

func (o *Outbox) isCurrent(s sealed) bool {
	return o.keys.isCurrent(s.url) && o.keys.isCurrent(s.header) && o.keys.isCurrent(s.keys)
}

func (o *Outbox) reSealOne(ctx context.Context, id string) (done bool, err error) {
	// Locking makes a new version, which has every process unseal the endpoint again and forget what its breaker knows.
	if _, s, err := o.readEndpoint(ctx, o.db, id); err != nil || o.isCurrent(s) {
		return false, err
	}
	err = o.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		if err := o.lockEndpoint(ctx, tx, id); err != nil {
			return err
		}
		e, s, err := o.readEndpoint(ctx, tx, id)
		if err != nil {
			return err
		}
		if o.isCurrent(s) { // another process was here first
			return nil
		}
		if err := o.unseal(e, s); err != nil {
			return err
		}
		done = true
		return o.updateSealed(ctx, tx, e)
	})
	return done, err
}
