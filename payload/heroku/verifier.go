package heroku

import (
	"fmt"
	"io"
	"net/http"

	"github.com/deployhook/deployhook/payload/internal/inbound"
	"github.com/deployhook/deployhook/signer"
)

var _ signer.Scheme = (*Verifier)(nil)

const header = "Heroku-Webhook-Hmac-Sha256"

// Verifier verifies Heroku's Heroku-Webhook-Hmac-SHA256 and takes the
// delivery's ID from the signed body. The body also contains the attempt's ID,
// so it differs between attempts, while the delivery's ID stays the same.
// Create one with [NewVerifier]. It is immutable and safe for concurrent use.
type Verifier struct{ scheme *signer.BodyOnly }

// NewVerifier returns the scheme for the webhook's secret from
// [signer.NewLiteralSecret]. The options are those of [signer.NewBodyOnly]. Use
// [signer.WithKey] for rotation.
func NewVerifier(secret signer.Secret, opts ...signer.Option) (*Verifier, error) {
	scheme, err := signer.NewBodyOnly(secret, append([]signer.Option{signer.WithHeader(header), signer.WithBase64()}, opts...)...)
	if err != nil {
		return nil, err
	}
	return &Verifier{scheme}, nil
}

// Present reports whether a request has Heroku's signature, see [signer.AnyOf].
func (v *Verifier) Present(h http.Header) bool { return v != nil && v.scheme.Present(h) }

// SignsID returns true, because the signature covers the delivery ID.
func (v *Verifier) SignsID() bool { return true }

// Principals returns the principal of [signer.WithPrincipal], see
// [signer.Scheme].
func (v *Verifier) Principals() []string {
	if v == nil {
		return nil
	}
	return v.scheme.Principals()
}

// Format prints the scheme's name for every verb and never its keys.
func (v *Verifier) Format(f fmt.State, _ rune) { io.WriteString(f, "heroku.Verifier") }

// Verify accepts the same requests as [signer.NewBodyOnly]. The ID is
// webhook_metadata.delivery.id. Without it the ID is empty, and deduplication
// uses the body.
func (v *Verifier) Verify(r *http.Request, body []byte) (signer.Verified, error) {
	if v == nil || v.scheme == nil {
		return signer.Verified{}, fmt.Errorf("%w: heroku.Verifier is nil or the zero value; make one with NewVerifier and check its error", signer.ErrConfig)
	}
	verified, err := v.scheme.Verify(r, body)
	if err != nil {
		return signer.Verified{}, err
	}
	verified.ID = inbound.BodyID(body, "webhook_metadata", "delivery", "id")
	return verified, nil
}
