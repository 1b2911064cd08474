package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// maxGrace bounds the time for which an old secret stays in use.
const maxGrace = 30 * 24 * time.Hour

// RotateSecret gives an endpoint a new secret and returns it, to be shown once.
// text is the new secret, or empty to generate one. [SchemeBearer] needs it
// given.
//
// For the length of grace the old secret stays in use. Every delivery is signed
// with both (Standard, Ed25519, HTTPSig, Stripe). Where a request has room for
// one signature only (Timestamped, Bearer), it is signed with the old one, so
// that the customer has that long to add the new one. With a grace of zero the
// old secret is no longer used. A rotation within a rotation ends the older of
// the secrets. At most 30 days.
func (a *App) RotateSecret(ctx context.Context, id, text string, grace time.Duration) (Secret, error) {
	if err := a.open(); err != nil {
		return Secret{}, err
	}
	if grace < 0 || grace > maxGrace {
		return Secret{}, fieldError("grace", "%v: want 0 to 30 days", grace)
	}
	var shown Secret
	err := a.o.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		if err := a.o.endpoints.lock(ctx, tx, a.of(id)); err != nil {
			return err
		}
		e, err := a.o.endpoints.findUnsealed(ctx, tx, a.of(id))
		if err != nil {
			return err
		}
		if shown, err = e.rotate(text, time.Now(), grace); err != nil {
			return err
		}
		return a.o.endpoints.updateSealed(ctx, tx, e)
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
	if grace > 0 {
		if e.keys[0].text.Reveal() == key.text.Reveal() {
			return Secret{}, fieldError("Secret", "is the one that is in use")
		}
		old := e.keys[0]
		old.NotAfter = micros(now.Add(grace))
		keys = append(keys, old)
	}
	// A scheme with room for one signature uses the old key for now, so the new
	// one is also checked alone.
	_, err = e.Scheme.build(e.SignatureHeader, keys[:1])
	if err == nil {
		_, _, err = e.Scheme.signer(e.SignatureHeader, keys, now)
	}
	if err != nil {
		return Secret{}, &FieldError{Field: "Secret", Reason: err.Error(), cause: err}
	}
	e.keys, e.UpdatedAt = keys, now
	return shown, nil
}

// ReSeal seals every endpoint again that is not sealed with the current key,
// and returns how many there were. Call it after a change of keys, see
// [WithSealingKeys]. It may be called again after an error, and while
// deliveries run.
func (o *Outbox) ReSeal(ctx context.Context) (int, error) {
	if err := o.open(); err != nil {
		return 0, err
	}
	ids, err := jobdb.Collect(ctx, o.db, scanText, `SELECT id FROM {schema}outbox_endpoint ORDER BY id`)
	if err != nil {
		return 0, wrap("reading endpoints", err)
	}
	count := 0
	for _, id := range ids {
		done, err := o.endpoints.reSeal(ctx, id)
		if err != nil && !errors.Is(err, ErrUnknownEndpoint) {
			return count, wrap("sealing anew", err)
		}
		if done {
			count++
		}
	}
	return count, nil
}

func (s *endpointStore) isCurrent(columns sealed) bool {
	for _, column := range [...][]byte{columns.url, columns.header, columns.keys, columns.certificate, columns.creation} {
		if !s.keys.isCurrent(column) {
			return false
		}
	}
	return true
}

// reSeal reports whether an endpoint had to be sealed again.
func (s *endpointStore) reSeal(ctx context.Context, id string) (done bool, err error) {
	// The lock makes a new version. Every process then unseals the endpoint again
	// and resets its breaker, so avoid it.
	before, columns, err := s.read(ctx, s.db, id)
	if err != nil || s.isCurrent(columns) {
		return false, err
	}
	err = s.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		if err := s.lock(ctx, tx, before.key()); err != nil {
			return err
		}
		e, columns, err := s.find(ctx, tx, before.key())
		if err != nil {
			return err
		}
		if s.isCurrent(columns) { // another process was faster
			return nil
		}
		if err := s.keys.openEndpoint(e, columns); err != nil {
			return err
		}
		done = true
		return s.updateSealed(ctx, tx, e)
	})
	return done, err
}
