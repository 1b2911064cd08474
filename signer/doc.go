// Package signer signs the exact bytes of a webhook on one side and verifies
// them on the other, so that a receiver knows who sent a delivery.
//
//	secret, err := signer.ParseSecret(os.Getenv("DEPLOYHOOK_SECRET")) // whsec_…
//	if err != nil {
//		return err
//	}
//	scheme, err := signer.NewStandard(secret)
//	if err != nil {
//		return err
//	}
//	if err := scheme.Sign(ctx, request, deliveryID, time.Now(), body); err != nil { // sets three headers
//		return err
//	}
//	verified, err := scheme.Verify(request, body) // ID, time, principal, key
//
// [Standard] implements the Standard Webhooks specification. Choose it for
// anything new. [Timestamped] is for senders and receivers that are written to
// the common "hex HMAC of timestamp.body" pattern. Both implement [Signer] and
// [Verifier], the interfaces that the sender and the receiver packages take.
//
// # Rotating a secret
//
// A scheme holds several keys. Rotate in three steps:
//
//  1. Give the new key to the verifying side.
//  2. Let the sender sign with both keys.
//  3. End the old key with NotAfter.
//
// For example:
//
//	scheme, err := signer.NewStandard(current, signer.WithKey(previous.NotAfter(cutover)))
//
// [Verified].Key names the key that matched, so that you can see when the old
// one is no longer in use.
//
// # Security properties
//
//   - Verification fails closed. Each header must occur exactly once. A
//     timestamp is plain Unix seconds within the tolerance, which is 5 minutes
//     on both sides by default. A signature has one spelling.
//   - Lists are bounded to 8 KiB and 16 signatures. A request costs at most one
//     MAC per key and four Ed25519 verifications.
//   - The MAC covers the literal text of the headers, never a parsed and
//     printed form of it.
//   - All MACs are compared, in constant time.
//   - The type of the key decides the algorithm. Nothing in a message does.
//   - Secrets are redacted in every fmt verb, in log/slog and in JSON. Only
//     [Secret.Reveal] returns the text.
//   - Errors wrap [ErrUnverified] and tell the operator what was wrong. They
//     never contain a secret or a signature.
//
// # Misuses
//
//   - Verifying re-encoded JSON. Read the body once, verify those bytes, and
//     decode those bytes, as the receiver package does.
//   - Telling the sender why it was refused. Answer 401 with the same body for
//     every reason.
//   - Sharing one secret between endpoints or tenants. A delivery signed for
//     one can then be posted to the other.
//   - Using one secret under two schemes. A body signed for one can then be
//     presented under the other.
//   - Trusting other headers. Anyone can set an event type or an ID header that
//     the scheme does not sign.
//   - Confusing the two kinds of secret. A whsec_ text is the base64 of the key
//     for Standard Webhooks, and the key itself for the common pattern.
//     [ParseSecret] and [NewLiteralSecret] keep them apart, and schemes refuse
//     the other kind.
//   - Raising the tolerance to work around a wrong clock. A wider window gives
//     more time to replay a captured request, and deliveries must be remembered
//     for longer.
package signer
