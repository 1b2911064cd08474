package receiver

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/signer"
)

// Receiver verifies and deduplicates the deliveries of one source and passes
// them to a handler. Make it with [New] and mount it with [Receiver.Events],
// [Receiver.Records] or [Receiver.Wrap]. A Receiver that is mounted twice
// shares one memory, so a delivery handled by one mount is a duplicate for the
// other.
//
// A Receiver is immutable and safe for concurrent use. It owns nothing that
// needs closing. The caller closes the store.
type Receiver struct {
	config
	verifier signer.Verifier

	noDeadline atomic.Pointer[error] // why a ResponseWriter could not set a read deadline
	warned     atomic.Bool           // noDeadline was logged
}

// New returns a receiver for requests that v verifies. v is a scheme from
// package signer, or [PerRequest] for one secret per tenant. New needs
// [WithDedupe] or [InsecureNoDedupe]. It reports all configuration errors at
// once, and they wrap [ErrConfig].
func New(v signer.Verifier, opts ...Option) (*Receiver, error) {
	c, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	if nilable.IsNil(v) {
		return nil, configError("the verifier is nil; make one, for example with signer.NewStandard, and check its error")
	}
	if tenants, ok := v.(interface{ check() error }); ok {
		if err := tenants.check(); err != nil {
			return nil, err
		}
	}
	if c.store != nil {
		if v, err = checkTTL(v, c.store.TTL()); err != nil {
			return nil, err
		}
	}
	if err := c.startTelemetry(); err != nil {
		return nil, err
	}
	return &Receiver{config: *c, verifier: v}, nil
}

// toleranced is implemented by the schemes of package signer that check a
// timestamp.
type toleranced interface{ Tolerance() time.Duration }

// checkTTL refuses a store that forgets a delivery while its timestamp is still
// accepted. A delivery can arrive first with a timestamp one tolerance in the
// future, and again when it is one tolerance in the past. With PerRequest each
// request has its own tolerance, so the returned verifier checks it then.
func checkTTL(v signer.Verifier, ttl time.Duration) (signer.Verifier, error) {
	if p, ok := v.(*TenantVerifier); ok {
		return &TenantVerifier{lookup: p.lookup, maxTolerance: ttl / 2}, nil
	}
	if t, ok := v.(toleranced); ok && ttl < 2*t.Tolerance() {
		return nil, configError("WithDedupe: the store's TTL of %v is less than twice the verifier's tolerance of %v, so replays would pass; raise the TTL", ttl, t.Tolerance())
	}
	return v, nil
}

// ErrUnknownTenant is returned by the lookup function of [PerRequest] if the
// request names no known tenant. The sender gets the same 401 as for a wrong
// signature.
var ErrUnknownTenant = errors.Join(errors.New("receiver: unknown tenant"), signer.ErrUnverified)

// PerRequest returns a verifier that selects the scheme for each request, for
// one secret per tenant. [New] refuses a nil lookup.
//
// lookup returns the tenant's name and scheme. Make each scheme once and keep
// it. The name becomes [signer.Verified].Principal and scopes deduplication.
//
//	error of lookup            answer
//	wraps ErrUnknownTenant     401
//	any other error            503, so that the sender tries again
//
// lookup sees an unauthenticated request whose body was already read. It may
// use the path, but never the body. It must trust nothing, because verification
// comes later.
func PerRequest(lookup func(*http.Request) (principal string, v signer.Verifier, err error)) *TenantVerifier {
	return &TenantVerifier{lookup: lookup}
}

// TenantVerifier verifies each request with its tenant's scheme. Make it with
// [PerRequest].
type TenantVerifier struct {
	lookup       func(*http.Request) (string, signer.Verifier, error)
	maxTolerance time.Duration // 0: any, because nothing is deduplicated
}

var _ signer.Verifier = (*TenantVerifier)(nil)

func (p *TenantVerifier) check() error {
	if p == nil || p.lookup == nil {
		return configError("PerRequest: the lookup function is nil; pass a function")
	}
	return nil
}

// Verify looks up the tenant and verifies with its scheme. The result's
// principal is the tenant.
func (p *TenantVerifier) Verify(r *http.Request, body []byte) (signer.Verified, error) {
	if err := p.check(); err != nil {
		return signer.Verified{}, err
	}
	principal, v, err := p.lookup(r)
	switch {
	case err != nil:
		return signer.Verified{}, err
	case nilable.IsNil(v):
		return signer.Verified{}, configError("PerRequest: lookup returned neither a verifier nor an error")
	case principal == "":
		return signer.Verified{}, configError("PerRequest: lookup returned no principal; return the tenant's name, which keeps tenants apart")
	}
	if t, ok := v.(toleranced); ok && p.maxTolerance > 0 && t.Tolerance() > p.maxTolerance {
		return signer.Verified{}, configError("PerRequest: a tolerance of %v is more than half the store's TTL, so replays would pass; raise the TTL", t.Tolerance())
	}
	if _, ok := v.(*TenantVerifier); ok {
		return signer.Verified{}, configError("PerRequest: lookup returned another PerRequest, whose tolerance cannot be checked; return the tenant's scheme")
	}
	verified, err := v.Verify(r, body)
	switch {
	case errors.Is(err, signer.ErrInvalidAPIKey):
		// The answer must equal that for an unknown tenant. A different one
		// would reveal which tenants exist.
		return signer.Verified{}, fmt.Errorf("%w: %v", signer.ErrNoMatch, err)
	case err != nil:
		return signer.Verified{}, err
	}
	verified.Principal = principal
	return verified, nil
}
