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
//	if err := scheme.Sign(ctx, request, deliveryID, time.Now(), body); err != nil { // sets four headers
//		return err
//	}
//	verified, err := scheme.Verify(request, body) // ID, time, principal, key
//
// # Security properties
//
//   - A signature must cover @method, @target-uri, content-type, content-digest
//     and webhook-id, in any order, and have the parameters created and keyid.
//     One that leaves out any of them does not count, whatever else it covers.
//   - Content-Digest must have a sha-256 that is the digest of the exact body.
//     It counts only if it is signed.
//   - The key that keyid names decides the algorithm. Sign never sends an alg
//     parameter. If a message has one, it must agree with the key.
//   - The headers must have the canonical spelling of RFC 9651 §4.1. A label, a
//     parameter or a signature that occurs twice is refused. Each covered
//     header must occur exactly once.
//   - A header has at most 8 KiB, a request 16 signatures, and a signature 32
//     components and 32 KiB of covered text. A scheme has at most 16 keys, and
//     at most 2 of them are Ed25519 keys. Of each key the first two signatures
//     count, so a request costs at most four Ed25519 verifications.
//   - Errors wrap the sentinels of package signer and contain no secret, no
//     signature and no query string.
//
// # Public keys
//
// With an Ed25519 key the receiver needs no secret. [Key.JWK] returns its
// public key and keyid in one text, and the receiver reads it with [ParseJWK].
// The key's [Thumbprint] is a good keyid, since it follows from the key.
//
// # Behind a proxy
//
// The target URI is the URL that the sender called. A server behind a proxy
// does not see it, because the proxy ends TLS and may rewrite the Host or
// remove a path prefix. State the public address with [WithExternalURL]. Do not
// rebuild it from X-Forwarded-Host or X-Forwarded-Proto. Any client that
// reaches the server can set those. A request that was captured on the way to
// one endpoint could then be posted to another, with headers that say it
// belongs there.
//
// Without the option the scheme is https if the request came over TLS,
// otherwise http, and the host is the Host header. A request whose Host names
// another site verifies only if it was signed for that other site, so let the
// server refuse foreign hosts.
//
// # Misuses
//
//   - Signing before the request is complete. Sign covers the URL, the Host,
//     the method and the content type as they are at that moment.
//   - Following redirects with a signed request. The signature is for the first
//     URL.
//   - Decompressing or re-encoding the body before Verify. The digest is that
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
