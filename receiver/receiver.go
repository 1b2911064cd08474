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

// Receiver verifies, deduplicates and hands on the deliveries of one source. Make it with [New] and mount it with
// [Receiver.Events] or [Receiver.Wrap]. Mounted twice, its mounts share what they remember: a delivery that one has handled
// is a duplicate to the other. It is immutable, safe for concurrent use, and owns
// nothing that has to be closed; the store stays the caller's.
type Receiver struct {
	config
	verifier signer.Verifier

	noDeadline atomic.Pointer[error] // why a ResponseWriter could not set a read deadline
	warned     atomic.Bool           // of noDeadline
}

// New returns a receiver for what v vouches for: a scheme from package signer, or [PerRequest] for one secret per tenant.
// It needs [WithDedupe] or [InsecureNoDedupe]. All configuration errors are reported at once and wrap [ErrConfig].
func New(v signer.Verifier, opts ...Option) (*Receiver, error) {
	c, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	if nilable.IsNil(v) {
		return nil, configError("the verifier is nil; make one with signer.NewStandard, say, and check its error")
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
	return &Receiver{config: *c, verifier: v}, nil
}

// toleranced is what the schemes of package signer that check a timestamp have in common.
type toleranced interface{ Tolerance() time.Duration }

// checkTTL refuses a store that forgets a delivery while its timestamp still passes: it can come first when its
// timestamp is as far ahead as the tolerance allows, and again when it lies as far behind. With PerRequest the tolerance
// is known only with each request, so the check moves there.
func checkTTL(v signer.Verifier, ttl time.Duration) (signer.Verifier, error) {
	if p, ok := v.(*TenantVerifier); ok {
		return &TenantVerifier{lookup: p.lookup, maxTolerance: ttl / 2}, nil
	}
	if t, ok := v.(toleranced); ok && ttl < 2*t.Tolerance() {
		return nil, configError("WithDedupe: the store's TTL of %v is less than twice the verifier's tolerance of %v, so replays would pass; raise the TTL", ttl, t.Tolerance())
	}
	return v, nil
}

// ErrUnknownTenant is for the lookup function of [PerRequest]: the request names nobody we know. The peer gets the same
// 401 as for a wrong signature.
var ErrUnknownTenant = errors.Join(errors.New("receiver: unknown tenant"), signer.ErrUnverified)

// PerRequest returns a verifier that asks lookup for each request's own: one secret per tenant. lookup returns who
// the tenant is, which becomes [signer.Verified].Principal and scopes deduplication, and that tenant's scheme, which
// should be made once and kept. For an unknown tenant it returns [ErrUnknownTenant]; any other error is taken as a
// failure on our side and answered with 503, so that the peer tries again.
//
// lookup sees an unauthenticated request with its body already read: it may use the path, never the body, and must not
// trust anything until the scheme has verified it. [New] refuses a nil lookup.
func PerRequest(lookup func(*http.Request) (principal string, v signer.Verifier, err error)) *TenantVerifier {
	return &TenantVerifier{lookup: lookup}
}

// TenantVerifier verifies each request with the scheme of the tenant that it
// names. Make it with [PerRequest].
type TenantVerifier struct {
	lookup       func(*http.Request) (string, signer.Verifier, error)
	maxTolerance time.Duration // 0: no dedupe, no limit
}

var _ signer.Verifier = (*TenantVerifier)(nil)

func (p *TenantVerifier) check() error {
	if p == nil || p.lookup == nil {
		return configError("PerRequest: the lookup function is nil")
	}
	return nil
}

// Verify looks up the tenant and verifies with its scheme. The principal of the
// result is the tenant.
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
		return signer.Verified{}, configError("PerRequest: lookup returned no principal; tenants could not be told apart")
	}
	if t, ok := v.(toleranced); ok && p.maxTolerance > 0 && t.Tolerance() > p.maxTolerance {
		return signer.Verified{}, configError("PerRequest: a tolerance of %v is more than half the store's TTL, so replays would pass", t.Tolerance())
	}
	if _, ok := v.(*TenantVerifier); ok {
		return signer.Verified{}, configError("PerRequest: lookup returned another PerRequest; its tolerance could not be checked")
	}
	verified, err := v.Verify(r, body)
	switch {
	case errors.Is(err, signer.ErrInvalidAPIKey):
		// Answered like an unknown tenant, or the difference would tell which tenants there are.
		return signer.Verified{}, fmt.Errorf("%w: %v", signer.ErrNoMatch, err)
	case err != nil:
		return signer.Verified{}, err
	}
	verified.Principal = principal
	return verified, nil
}
