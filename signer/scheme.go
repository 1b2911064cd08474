package signer

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Scheme is a [Verifier] that can share an endpoint with others, see [AnyOf].
// All schemes of this package implement it.
//
// The interface is frozen: it gets no further method. Further abilities become
// optional interfaces, as with [Verifier].
type Scheme interface {
	Verifier
	// Present reports whether the request carries this scheme's signature
	// or credential, valid or not.
	Present(h http.Header) bool
	// SignsID reports whether the delivery ID is covered by the signature.
	SignsID() bool
	// Principals returns the possible values of [Verified].Principal, each
	// once. A scheme whose keys have no principal returns one empty string.
	Principals() []string
}

// Any accepts requests of several schemes on one endpoint. Make it with
// [AnyOf].
type Any struct {
	schemes   []Scheme
	principal string
	keepsID   bool
}

var _ Scheme = (*Any)(nil)

// AnyOf returns a verifier for an endpoint that moves from one scheme to
// another. Give the strongest scheme first. The first scheme whose header a
// request carries decides alone. A bad strong signature is therefore refused
// even if the request also carries a good weaker one.
//
// AnyOf is as strong as its weakest member. An attacker can strip the strong
// header from a captured request and present the rest under the weak scheme.
// Two rules keep such a copy from being taken for a new delivery:
//
//   - [Verified].ID is kept only if all schemes sign it. Otherwise it is empty,
//     and deduplication goes by the body.
//   - All schemes must have the same principal, which is part of what
//     deduplication goes by. See [Scheme].Principals and [WithPrincipal]. API
//     keys of several organizations need a verifier for each organization.
//
// Errors wrap [ErrConfig].
func AnyOf(schemes ...Scheme) (*Any, error) {
	if len(schemes) < 2 {
		return nil, configError("AnyOf", "want at least two schemes, the strongest first; use a single one as it is")
	}
	a := &Any{schemes: slices.Clone(schemes), keepsID: true}
	for i, s := range schemes {
		if isNil(s) {
			return nil, configError("AnyOf", "scheme %d is nil; check its constructor's error", i+1)
		}
		principals := s.Principals()
		switch {
		case len(principals) == 0:
			return nil, configError("AnyOf", "scheme %d has no key; make it with its constructor and check the error", i+1)
		case len(principals) > 1:
			return nil, configError("AnyOf", "scheme %d has %d principals, so a stripped copy could be taken for a new delivery; "+
				"give each of them a separate verifier", i+1, len(principals))
		case i > 0 && principals[0] != a.principal:
			return nil, configError("AnyOf", "scheme %d has another principal than those before it, so a stripped copy would be taken for a new delivery; "+
				"give all of them the same with WithPrincipal", i+1)
		}
		a.principal = principals[0]
		a.keepsID = a.keepsID && s.SignsID()
	}
	return a, nil
}

// Verify asks only the first scheme whose header is present.
func (a *Any) Verify(r *http.Request, body []byte) (Verified, error) {
	if a == nil || len(a.schemes) == 0 {
		return Verified{}, notMade("Any", "AnyOf")
	}
	for _, s := range a.schemes {
		if !s.Present(r.Header) {
			continue
		}
		verified, err := s.Verify(r, body)
		if err != nil {
			return Verified{}, a.blur(err)
		}
		if verified.Principal != a.principal {
			return Verified{}, configError("AnyOf", "a scheme vouched for a principal that its Principals method does not return; correct the method")
		}
		if !a.keepsID {
			verified.ID = ""
		}
		return verified, nil
	}
	return Verified{}, fmt.Errorf("%w: none of the %d schemes' headers is present", ErrMissingHeader, len(a.schemes))
}

// blur hides that an API key failed, so that the sender gets the same answer
// for all schemes.
func (a *Any) blur(err error) error {
	if errors.Is(err, ErrInvalidAPIKey) {
		return fmt.Errorf("%w: %v", ErrNoMatch, err)
	}
	return err
}

// Present reports whether the header of any of the schemes is present.
func (a *Any) Present(h http.Header) bool {
	if a == nil {
		return false
	}
	for _, s := range a.schemes {
		if s.Present(h) {
			return true
		}
	}
	return false
}

// SignsID reports whether all of the schemes sign the ID.
func (a *Any) SignsID() bool { return a != nil && a.keepsID }

// Principals returns the one principal of all the schemes.
func (a *Any) Principals() []string {
	if a == nil || len(a.schemes) == 0 {
		return nil
	}
	return []string{a.principal}
}

// Tolerance returns the largest of the schemes' tolerances.
func (a *Any) Tolerance() time.Duration {
	var longest time.Duration
	if a == nil {
		return 0
	}
	for _, s := range a.schemes {
		if t, ok := s.(interface{ Tolerance() time.Duration }); ok {
			longest = max(longest, t.Tolerance())
		}
	}
	return longest
}

// notMade is the error of a scheme that is nil or a zero value. It does not
// wrap [ErrUnverified], because the request may be authentic.
func notMade(scheme, constructor string) error {
	return configError(scheme, "is nil or the zero value; make one with %s and check its error", constructor)
}

// principals implements Principals for a scheme with one principal for all its
// keys.
func principals(keys []*activeKey, principal string) []string {
	if len(keys) == 0 {
		return nil
	}
	return []string{principal}
}
