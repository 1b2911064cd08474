package outbox

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/deployhook/deployhook/internal/riverdb"
)

// creation names the creation of an endpoint. The digest says what was asked
// for. It is sealed, since one could otherwise try out secrets on it.
type creation struct {
	key    string
	digest []byte
}

// setCreation stores what the endpoint is created from.
func (e *endpointRow) setCreation(c *EndpointConfig) error {
	if c.IdempotencyKey == "" {
		return nil
	}
	if !validEventID(c.IdempotencyKey) {
		return fieldError("IdempotencyKey", "want 1 to 255 bytes of visible ASCII")
	}
	var certificate []string
	if !c.ClientCertificate.IsZero() {
		pem := c.ClientCertificate.pem.Reveal()
		certificate = []string{pem.chain, pem.key}
	}
	text, err := json.Marshal([]any{
		c.URL.Reveal(), c.Description, c.BodyFormat, c.Scheme, c.SignatureHeader, c.Secret.Reveal(), c.Events, c.Header.Reveal(), certificate,
		c.Timeout, c.Schedule, c.MaxConcurrency, c.RateLimit, c.Metadata, c.Disabled,
	})
	if err != nil {
		return fieldError("RateLimit", "is not a number")
	}
	digest := sha256.Sum256(text)
	e.creation = creation{key: c.IdempotencyKey, digest: digest[:]}
	return nil
}

// created returns the endpoint that was created under the same key, or nil. The
// app is locked.
func (s *endpointStore) created(ctx context.Context, tx *riverdb.Tx, e *endpointRow) (*endpointRow, error) {
	if e.creation.key == "" {
		return nil, nil
	}
	ids, err := riverdb.Collect(ctx, tx, scanText, `SELECT id FROM {schema}outbox_endpoint WHERE app = ? AND creation_key = ? AND creation_key <> ''`,
		e.App, e.creation.key)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	earlier, err := s.readUnsealed(ctx, tx, ids[0])
	if err != nil {
		return nil, err
	}
	if string(earlier.creation.digest) != string(e.creation.digest) {
		return nil, fmt.Errorf("%w: %s was created under it with other settings", ErrKeyReused, earlier.ID)
	}
	return earlier, nil
}
