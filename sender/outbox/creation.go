package outbox

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/deployhook/deployhook/internal/jobdb"
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
	z := c.withoutDefaults()
	text, err := json.Marshal([]any{
		z.URL.Reveal(), z.Description, z.BodyFormat, z.Scheme, z.SignatureHeader, z.Secret.Reveal(), z.Events, z.Header.Reveal(), certificate,
		z.Timeout, z.Schedule, z.MaxConcurrency, z.RateLimit, z.Metadata, z.Disabled,
	})
	if err != nil {
		return fieldError("RateLimit", "is not a number")
	}
	digest := sha256.Sum256(text)
	e.creation = creation{key: c.IdempotencyKey, digest: digest[:]}
	return nil
}

// withoutDefaults replaces each default and each empty list with zero. A client
// that writes them out asks for the same endpoint.
func (c EndpointConfig) withoutDefaults() EndpointConfig {
	if c.BodyFormat == FormatJSON {
		c.BodyFormat = ""
	}
	if c.Scheme == SchemeStandard {
		c.Scheme = ""
	}
	if c.Schedule == SchedulePlatform {
		c.Schedule = ""
	}
	if len(c.Events) == 0 {
		c.Events = nil
	}
	if len(c.Metadata) == 0 {
		c.Metadata = nil
	}
	return c
}

// created returns the endpoint that was created under the same key, or nil. The
// app is locked.
func (s *endpointStore) created(ctx context.Context, tx *jobdb.Tx, e *endpointRow) (*endpointRow, error) {
	if e.creation.key == "" {
		return nil, nil
	}
	ids, err := jobdb.Collect(ctx, tx, scanText, `SELECT id FROM {schema}outbox_endpoint WHERE app = ? AND creation_key = ? AND creation_key <> ''`,
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
