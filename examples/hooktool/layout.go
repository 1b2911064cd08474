package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/signer"
)

// layout is how a scheme that signs the body alone writes its signature.
type layout struct {
	header, mark       string
	base64, sha1, list bool
}

// bodyOnly returns a scheme with the verifier of a source package.
func bodyOnly(name, says string, l layout, verifier func(*schemeFlags, signer.Secret, []signer.Option) (signer.Scheme, error)) scheme {
	return scheme{
		name: name, says: says, header: l.header,
		verifier: func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error) {
			return verifier(o, literal(keys[0]), o.judged(o.options(keys, false)))
		},
		signer: func(o *schemeFlags, keys []signer.Key) (signer.Signer, error) {
			if o.header != "" {
				l.header = http.CanonicalHeaderKey(o.header)
			}
			return bodySigner{l, literal(keys[0])}, nil
		},
	}
}

// plainBodyOnly returns a scheme with the verifier of package signer.
func plainBodyOnly(name, says string, l layout) scheme {
	return bodyOnly(name, says, l, func(_ *schemeFlags, s signer.Secret, opts []signer.Option) (signer.Scheme, error) {
		return signer.NewBodyOnly(s, append(opts, l.options()...)...)
	})
}

// customBodyOnly returns the scheme whose layout the flags give.
func customBodyOnly() scheme {
	from := func(o *schemeFlags) (layout, error) {
		if o.header == "" {
			return layout{}, usagef("-scheme body-only needs the header with the signature; give -header")
		}
		return layout{header: http.CanonicalHeaderKey(o.header), mark: o.mark, base64: o.base64}, nil
	}
	return scheme{
		name: "body-only", says: "body, in the header of -header",
		verifier: func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error) {
			l, err := from(o)
			if err != nil {
				return nil, err
			}
			return signer.NewBodyOnly(keys[0], append(o.judged(o.options(keys, false)), l.options()...)...)
		},
		signer: func(o *schemeFlags, keys []signer.Key) (signer.Signer, error) {
			l, err := from(o)
			if err != nil {
				return nil, err
			}
			return bodySigner{l, literal(keys[0])}, nil
		},
	}
}

func (l layout) options() []signer.Option {
	opts := []signer.Option{signer.WithHeader(l.header)}
	if l.mark != "" {
		opts = append(opts, signer.WithSignaturePrefix(l.mark))
	}
	if l.list {
		opts = append(opts, signer.WithSignatureList())
	}
	if l.base64 {
		opts = append(opts, signer.WithBase64())
	}
	if l.sha1 {
		opts = append(opts, signer.InsecureSHA1())
	}
	return opts
}

// bodySigner signs the body alone, to play a sender of a source. The library
// only verifies such schemes, because nothing new should sign with one.
type bodySigner struct {
	layout

	secret signer.Secret
}

// Sign implements [signer.Signer].
func (s bodySigner) Sign(_ context.Context, r *http.Request, _ string, _ time.Time, body []byte) error {
	hash := sha256.New
	if s.sha1 {
		hash = sha1.New
	}
	mac := hmac.New(hash, []byte(s.secret.Reveal()))
	mac.Write(body)
	text := hex.EncodeToString(mac.Sum(nil))
	if s.base64 {
		text = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	r.Header.Set(s.header, s.mark+text)
	return nil
}

// jwsSigner signs the hash of the body in a JSON Web Signature, as Netlify
// does.
type jwsSigner struct{ secret signer.Secret }

// Sign implements [signer.Signer].
func (s jwsSigner) Sign(_ context.Context, r *http.Request, _ string, _ time.Time, body []byte) error {
	sum := sha256.Sum256(body)
	encode := base64.RawURLEncoding.EncodeToString
	input := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(`{"iss":"netlify","sha256":"`+hex.EncodeToString(sum[:])+`"}`))
	mac := hmac.New(sha256.New, []byte(s.secret.Reveal()))
	mac.Write([]byte(input))
	r.Header.Set("X-Webhook-Signature", input+"."+encode(mac.Sum(nil)))
	return nil
}

// droneSigner signs the date and the digest of the body, as Drone does.
type droneSigner struct{ secret signer.Secret }

// Sign implements [signer.Signer].
func (s droneSigner) Sign(_ context.Context, r *http.Request, _ string, at time.Time, body []byte) error {
	sum := sha256.Sum256(body)
	date, digest := at.UTC().Format(http.TimeFormat), "SHA-256="+base64.StdEncoding.EncodeToString(sum[:])
	mac := hmac.New(sha256.New, []byte(s.secret.Reveal()))
	mac.Write([]byte("date: " + date + "\ndigest: " + digest))
	r.Header.Set("Date", date)
	r.Header.Set("Digest", digest)
	r.Header.Set("Signature", `keyId="hmac-key",algorithm="hmac-sha256",signature="`+base64.StdEncoding.EncodeToString(mac.Sum(nil))+`",headers="date digest"`)
	return nil
}

// basicSigner sends a user name and a password.
type basicSigner struct {
	user     string
	password signer.Secret
}

// CarriesCredential reports that the header is the credential itself.
func (s basicSigner) CarriesCredential() bool { return true }

// Sign implements [signer.Signer].
func (s basicSigner) Sign(_ context.Context, r *http.Request, _ string, _ time.Time, _ []byte) error {
	r.SetBasicAuth(s.user, s.password.Reveal())
	return nil
}
