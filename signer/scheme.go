package signer

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Scheme is a [Verifier] that can share an endpoint with others; see [AnyOf]. All schemes of this package are.
type Scheme interface {
	Verifier
	// Present reports whether the request carries this scheme's signature or credential, valid or not.
	Present(h http.Header) bool
	// SignsID reports whether the delivery ID is covered by the signature.
	SignsID() bool
}

// Any accepts requests of several schemes on one endpoint; make it with [AnyOf].
type Any struct {
	schemes []Scheme
	keepsID bool
}

var _ Scheme = (*Any)(nil)

// AnyOf returns a verifier for an endpoint that moves from one scheme to another. Give the strongest scheme first: the
// first one whose header a request carries decides alone, so that a request with a bad strong signature is
// refused whatever weaker ones it has.
//
// Whoever strips the strong header from a captured request is left with the weak one, under which it is a request like any
// other; AnyOf is as strong as its weakest member and meant for the time of a migration. So that such a request is
// not taken for a new delivery, [Verified].ID is kept only if all schemes sign it; otherwise deduplication goes by
// the body for all of them, and the schemes must agree on the principal ([WithPrincipal]), which is part of what
// deduplication goes by. That of API keys comes with each key and can't be compared here: give all of an endpoint's
// keys the one principal that its other schemes have. Errors wrap [ErrConfig].
func AnyOf(schemes ...Scheme) (*Any, error) {
	if len(schemes) < 2 {
		return nil, configError("AnyOf", "want at least two schemes, the strongest first; use a single one as it is")
	}
	a := &Any{schemes: schemes, keepsID: true}
	var first owned
	for i, s := range schemes {
		if s == nil {
			return nil, configError("AnyOf", "scheme %d is nil; check its constructor's error", i+1)
		}
		a.keepsID = a.keepsID && s.SignsID()
		if o, ok := s.(owned); ok {
			if first != nil && first.owner() != o.owner() {
				return nil, configError("AnyOf", "scheme %d has another principal than those before it, so a stripped copy would be taken for a new delivery; "+
					"give all of them the same with WithPrincipal", i+1)
			}
			first = o
		}
	}
	return a, nil
}

// owned is what schemes with one principal for all keys have in common.
type owned interface{ owner() string }

func (s *Standard) owner() string    { return s.principal }
func (s *Timestamped) owner() string { return s.principal }
func (s *Stripe) owner() string      { return s.principal }
func (s *BodyOnly) owner() string    { return s.principal }

// Verify asks the first scheme whose header is present, and no other.
func (a *Any) Verify(r *http.Request, body []byte) (Verified, error) {
	for _, s := range a.schemes {
		if !s.Present(r.Header) {
			continue
		}
		verified, err := s.Verify(r, body)
		if err != nil {
			return Verified{}, a.blur(err)
		}
		if !a.keepsID {
			verified.ID = ""
		}
		return verified, nil
	}
	return Verified{}, fmt.Errorf("%w: none of the %d schemes' headers is present", ErrMissingHeader, len(a.schemes))
}

// blur hides that it was an API key which failed, so that the peer is answered the same whichever scheme it tried.
func (a *Any) blur(err error) error {
	if errors.Is(err, ErrInvalidAPIKey) {
		return fmt.Errorf("%w: %v", ErrNoMatch, err)
	}
	return err
}

// Present reports whether any of the schemes is.
func (a *Any) Present(h http.Header) bool {
	for _, s := range a.schemes {
		if s.Present(h) {
			return true
		}
	}
	return false
}

// SignsID reports whether all of the schemes do.
func (a *Any) SignsID() bool { return a.keepsID }

// Tolerance returns the largest of the schemes' tolerances.
func (a *Any) Tolerance() time.Duration {
	var longest time.Duration
	for _, s := range a.schemes {
		if t, ok := s.(interface{ Tolerance() time.Duration }); ok {
			longest = max(longest, t.Tolerance())
		}
	}
	return longest
}
