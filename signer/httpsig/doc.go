// Package httpsig signs and verifies webhooks with HTTP Message Signatures (RFC
// 9421) and Content-Digest (RFC 9530). It is a scheme of package signer in a
// separate module. Use it where the other side asks for RFC 9421, or where a
// signature has to bind the delivery URL, the method and the content type.
// Schemes that sign only the body do not bind those.
//
//	secret, err := signer.ParseSecret(os.Getenv("DEPLOYHOOK_SECRET")) // whsec_…
//	if err != nil {
//		return err
//	}
//	key, err := httpsig.NewKey("2026-11", secret)
//	if err != nil {
//		return err
//	}
//	scheme, err := httpsig.New(key, httpsig.WithExternalURL("https://hooks.example.com"))
//	if err != nil {
//		return err
//	}
//	if err := scheme.Sign(request, deliveryID, time.Now(), body); err != nil { // sets four headers
//		return err
//	}
//	verified, err := scheme.Verify(request, body) // ID, time, principal, key
//
// # Security properties
//
//   - A signature must cover @method, @target-uri, content-type, content-digest
//     and webhook-id, in any order, and have the parameters created and keyid.
//     One that leaves out any of them does not count, whatever else it covers.
//   - Content-Digest must have a sha-256 that is the digest of the exact body,
//     and is believed only where it is signed.
//   - The key that keyid names decides the algorithm. An alg parameter is never
//     sent; where a message has one, it must agree with the key.
//   - The headers have one spelling, the canonical one of RFC 9651 §4.1, so
//     that a label, a parameter or a signature that occurs twice is refused and
//     not resolved by who comes last. Each covered header must occur exactly
//     once. Bounds: 8 KiB for each header, 16 signatures, 16 keys of which 2
//     are Ed25519 keys, 32 components, 32 KiB for all that a signature covers.
//     Of each key the first two signatures count: a request costs at most four
//     Ed25519 verifications.
//   - Errors wrap the sentinels of package signer and contain no secret, no
//     signature and no query string.
//
// # Behind a proxy
//
// The target URI is what the sender called, and a server behind a proxy does
// not see it: TLS ends before it, the Host may be rewritten, a path prefix
// removed. State the public address with [WithExternalURL]. Do not rebuild it
// from X-Forwarded-Host or X-Forwarded-Proto. Any client that reaches the
// server can set those. A request that was captured on the way to one endpoint
// could then be posted to another, with headers that say it belongs there.
//
// Without the option the scheme is https if the request came over TLS,
// otherwise http, and the host is the Host header. A request whose Host names
// another site verifies only if it was signed for that other site, so let the
// server refuse foreign hosts.
//
// # Misuses
//
//   - Signing before the request is complete: the URL, the Host, the method and
//     the content type are signed as they are.
//   - Following redirects with a signed request: the signature is for the first
//     URL.
//   - Decompressing or re-encoding the body before Verify: the digest is that
//     of the bytes on the wire.
//   - One HMAC key for several tenants. The URL in the signature tells
//     endpoints apart only if their URLs differ.
//
// # The library underneath
//
// The structured fields are parsed and written by github.com/dunglas/httpsfv,
// which carries the HTTP working group's test suite. The signature base, some
// forty lines, is built here. Two Go libraries for RFC 9421 were read for this
// package. github.com/remitly-oss/httpsig-go v1.2.0 leaves the path out of
// @target-uri and panics on a created parameter that is no integer. The HMAC of
// github.com/common-fate/httpsig v0.2.1 does not depend on the message. Tests
// compare the base with the RFC's vectors and with an implementation in
// JavaScript.
package httpsig
