// Package signer says who sent a webhook: it signs the exact bytes of a
// delivery on one side and verifies them on the other.
//
//	secret, err := signer.ParseSecret(os.Getenv("DEPLOYHOOK_SECRET")) // whsec_…
//	if err != nil {
//		return err
//	}
//	scheme, err := signer.NewStandard(secret)
//	if err != nil {
//		return err
//	}
//	if err := scheme.Sign(request, deliveryID, time.Now(), body); err != nil { // sets three headers
//		return err
//	}
//	verified, err := scheme.Verify(request, body) // ID, time, principal, key
//
// [Standard] is the Standard Webhooks specification and the one to choose for
// anything new; [Timestamped] is for receivers and senders that are written to
// the common "hex HMAC of timestamp.body" pattern. Both are a [Signer] and a
// [Verifier], the interfaces that the sender and the receiver packages take.
//
// # Rotating a secret
//
// A scheme holds several keys. Give the verifying side the new key first, then
// let the sender sign with both, then end the old one:
//
//	scheme, err := signer.NewStandard(current, signer.WithKey(previous.NotAfter(cutover)))
//
// [Verified].Key names the key that matched, so that you can see when the old
// one is no longer in use.
//
// # Security properties
//
//   - Verification fails closed. Each header must occur exactly once; a
//     timestamp is plain Unix seconds within the tolerance (5 minutes by
//     default, on both sides); a signature has one spelling; lists are bounded
//     (8 KiB, 16 signatures), and a request costs at most one MAC for each key
//     and four Ed25519 verifications.
//   - The literal text of the headers goes into the MAC, never a parsed and
//     printed form of it.
//   - MACs are compared in constant time, all of them, whatever was found
//     before.
//   - The type of the key decides the algorithm; nothing in a message does.
//   - Secrets are redacted in every fmt verb, in log/slog and in JSON.
//     [Secret.Reveal] is the only way out.
//   - Errors wrap [ErrUnverified] and tell the operator what was wrong. They
//     never contain a secret or a signature.
//
// # Misuses
//
//   - Verifying re-encoded JSON. Read the body once, verify those bytes, decode
//     those bytes. The receiver package does.
//   - Telling the peer why it was refused. Answer 401 with one and the same
//     body.
//   - One secret for several endpoints or tenants: a delivery signed for one
//     can then be posted to the other.
//   - One secret under two schemes: a body that was signed for one can then be
//     presented as something else to the other.
//   - Trusting other headers. An event type or an ID header that the scheme
//     does not sign is only the peer's word.
//   - Confusing the two kinds of secret: a whsec_ text is base64 of the key for
//     Standard Webhooks, and the key itself for the common pattern.
//     [ParseSecret] and [NewLiteralSecret] keep them apart, and schemes refuse
//     the other kind.
//   - Raising the tolerance to get around a wrong clock. A wider window is a
//     longer time in which a captured request can be replayed, and a longer
//     time for which deliveries must be remembered.
package signer
