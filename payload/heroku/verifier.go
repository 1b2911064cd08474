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

// Verifier verifies Heroku's Heroku-Webhook-Hmac-SHA256, and takes the delivery's ID from the body that it signs: each
// attempt has a body of its own, since the attempt's ID is in it, and only the delivery's ID is the same for all. Make one
// with [NewVerifier]. It is immutable and safe for concurrent use.
type Verifier struct{ scheme *signer.BodyOnly }

// NewVerifier returns the scheme for the webhook's secret from [signer.NewLiteralSecret]. Options are those of
// [signer.NewBodyOnly]: [signer.WithKey] is for rotation.
func NewVerifier(secret signer.Secret, opts ...signer.Option) (*Verifier, error) {
	scheme, err := signer.NewBodyOnly(secret, append([]signer.Option{signer.WithHeader(header), signer.WithBase64()}, opts...)...)
	if err != nil {
		return nil, err
	}
	return &Verifier{scheme}, nil
}

// Present reports whether a request carries Heroku's signature; see [signer.AnyOf].
func (v *Verifier) Present(h http.Header) bool { return v != nil && v.scheme.Present(h) }

// SignsID reports that the delivery ID is covered by the signature.
func (v *Verifier) SignsID() bool { return true }

// Principals returns the principal of [signer.WithPrincipal]; see [signer.Scheme].
func (v *Verifier) Principals() []string {
	if v == nil {
		return nil
	}
	return v.scheme.Principals()
}

// Format prints the scheme's name and nothing of its keys, whatever the verb.
func (v *Verifier) Format(f fmt.State, _ rune) { io.WriteString(f, "heroku.Verifier") }

// Verify accepts what [signer.NewBodyOnly] does. The ID is webhook_metadata.delivery.id, and empty in a body that has
// none: deduplication then goes by the body.
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
