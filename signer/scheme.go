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
// the body for all of them. Errors wrap [ErrConfig].
func AnyOf(schemes ...Scheme) (*Any, error) {
	if len(schemes) < 2 {
		return nil, configError("AnyOf", "want at least two schemes, the strongest first; use a single one as it is")
	}
	a := &Any{schemes: schemes, keepsID: true}
	for i, s := range schemes {
		if s == nil {
			return nil, configError("AnyOf", "scheme %d is nil; check its constructor's error", i+1)
		}
		a.keepsID = a.keepsID && s.SignsID()
	}
	return a, nil
}

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
