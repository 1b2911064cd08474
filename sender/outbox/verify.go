package outbox

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/deployhook/deployhook/signer"
)

// verifyTolerance is how far a timestamp may lie from now in VerifyRequest. It
// is the longest that package signer allows.
const verifyTolerance = 24 * time.Hour

// VerifyRequest checks headers and a body as the receiver of a delivery would,
// with the keys of the delivery's endpoint that are in use. It is for a
// customer whose receiver refuses deliveries. The error of a signature that
// does not match says what would have matched, such as a body that was
// re-encoded. Errors wrap [signer.ErrUnverified], and their texts contain no
// secret.
//
// The timestamp may be up to 24 hours old. The schemes bearer and unsigned sign
// nothing, so there the error is a [*FieldError].
func (a *App) VerifyRequest(ctx context.Context, deliveryID string, header http.Header, body []byte) (signer.Verified, error) {
	if err := a.open(); err != nil {
		return signer.Verified{}, err
	}
	d, err := a.Delivery(ctx, deliveryID)
	if err != nil {
		return signer.Verified{}, err
	}
	e, err := a.o.endpoints.findUnsealed(ctx, a.o.db.Reader(), a.of(d.Endpoint))
	if err != nil {
		return signer.Verified{}, err
	}
	verifier, err := e.Scheme.verifier(e.SignatureHeader, e.keys)
	if err != nil {
		return signer.Verified{}, err
	}
	r, err := signedRequest(ctx, e.url.Reveal(), d.ContentType, header)
	if err != nil {
		return signer.Verified{}, wrap("verifying", err)
	}
	return verifier.Verify(r, body)
}

// verifier returns a verifier with every key that is in use now.
func (s Scheme) verifier(header string, keys []storedKey) (signer.Verifier, error) {
	active, _ := activeKeys(keys, time.Now())
	if s == SchemeBearer || s == InsecureUnsigned || len(active) == 0 {
		return nil, fieldError("Scheme", "%s signs nothing that could be verified", s)
	}
	made, err := s.build(header, active)
	if err != nil {
		return nil, err
	}
	verifier, ok := made.(signer.Verifier)
	if !ok {
		return nil, fieldError("Scheme", "%s can't verify", s)
	}
	return verifier, nil
}

// signedRequest is a request as the endpoint got it, for schemes that also sign
// its URL.
func signedRequest(ctx context.Context, to, contentType string, header http.Header) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, nil)
	if err != nil {
		if fault, ok := errors.AsType[*url.Error](err); ok {
			err = fault.Err // without the URL
		}
		return nil, err
	}
	if r.URL.Scheme == "https" {
		r.TLS = &tls.ConnectionState{}
	}
	r.Header = header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Content-Type", contentType)
	return r, nil
}
