package interop

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	stripe "github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/deployhook/deployhook/signer"
)

// The Go libraries of Standard Webhooks and Svix take secrets with and without
// whsec_. Both spellings are the same key.
func TestStandardBothDirections(t *testing.T) {
	t.Parallel()
	secret := signer.GenerateSecret()
	ourScheme, err := signer.NewStandard(secret)
	require.NoError(t, err)
	for _, text := range []string{secret.Reveal(), strings.TrimPrefix(secret.Reveal(), "whsec_")} {
		standard, err := standardwebhooks.NewWebhook(text)
		require.NoError(t, err)
		sv, err := svix.NewWebhook(text)
		require.NoError(t, err)
		for name, body := range bodies {
			for peer, theirs := range map[string]interface {
				Sign(string, time.Time, []byte) (string, error)
				Verify([]byte, http.Header) error
			}{standardGo: standard, svixGo: sv} {
				t.Run(peer+"/"+name, func(t *testing.T) {
					t.Parallel()
					now := time.Now()
					header := sign(t, ourScheme, now, body)
					require.NoError(t, theirs.Verify(body, header), "we sign, they verify")
					require.Error(t, theirs.Verify(append([]byte("x"), body...), header))

					made, err := theirs.Sign(testID, now, body)
					require.NoError(t, err)
					require.Equal(t, header.Get("Webhook-Signature"), made)
					theirHeader := http.Header{"Webhook-Id": {testID}, "Webhook-Timestamp": {seconds(now)}, "Webhook-Signature": {made}}
					verified, err := ourScheme.Verify(request(probe{header: theirHeader}), body)
					require.NoError(t, err, "they sign, we verify")
					require.Equal(t, testID, verified.ID)
					require.Equal(t, now.Unix(), verified.Timestamp.Unix())
				})
			}
		}
	}
}

// During a rotation a receiver has the old secret or the new one. We send
// signatures by both, and an Ed25519 signature as well.
func TestStandardRotation(t *testing.T) {
	t.Parallel()
	previous, next := signer.GenerateSecret(), signer.GenerateSecret()
	s, err := signer.NewStandard(next, signer.WithKey(previous), signer.WithKey(signer.GenerateSigningKey()))
	require.NoError(t, err)
	body := bodies["unicode"]
	header := sign(t, s, time.Now(), body)
	require.Len(t, strings.Fields(header.Get("Webhook-Signature")), 3)
	for _, peer := range []string{standardGo, svixGo} {
		for _, secret := range []signer.Secret{previous, next} {
			require.NoError(t, goPeers[peer](probe{secret.Reveal(), header, body}), peer)
		}
		require.Error(t, goPeers[peer](probe{signer.GenerateSecret().Reveal(), header, body}), peer)
	}
	// And they may send the list.
	now := time.Now()
	var list []string
	for _, secret := range []signer.Secret{signer.GenerateSecret(), previous} {
		w, err := svix.NewWebhook(secret.Reveal())
		require.NoError(t, err)
		made, err := w.Sign(testID, now, body)
		require.NoError(t, err)
		list = append(list, made)
	}
	theirs := http.Header{"Webhook-Id": {testID}, "Webhook-Timestamp": {seconds(now)}, "Webhook-Signature": {strings.Join(list, " ")}}
	verified, err := s.Verify(request(probe{header: theirs}), body)
	require.NoError(t, err)
	require.Equal(t, "key-2", verified.Key)
}

// stripe-go uses the whole text of a secret as the key, including whsec_. Our
// Stripe scheme does the same.
func TestStripeBothDirections(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"whsec_" + strings.Repeat("k", 32), "a literal secret of no form"} {
		secret, err := signer.NewLiteralSecret(text)
		require.NoError(t, err)
		previous := signer.GenerateLiteralSecret()
		s, err := signer.NewStripe(secret, signer.WithKey(previous))
		require.NoError(t, err)
		for name, body := range bodies {
			t.Run(text+"/"+name, func(t *testing.T) {
				t.Parallel()
				header := sign(t, s, time.Now(), body)
				for _, key := range []string{text, previous.Reveal()} {
					require.NoError(t, goPeers[stripeGo](probe{key, header, body}), "we sign, they verify")
				}
				require.Error(t, goPeers[stripeGo](probe{strings.TrimPrefix(text, "whsec_") + "x", header, body}))

				theirs := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: body, Secret: text, Timestamp: time.Now()})
				p := probe{text, http.Header{"Stripe-Signature": {theirs.Header}}, body}
				require.NoError(t, ours("Stripe", p), "they sign, we verify")
				p.body = append([]byte("x"), body...)
				require.ErrorIs(t, ours("Stripe", p), signer.ErrNoMatch)
			})
		}
	}
}

// go-github and go-playground/webhooks cannot sign, so GitHub's published
// example is used instead. All sides accept it. go-playground refuses an empty
// body.
func TestGitHub(t *testing.T) {
	t.Parallel()
	example := probe{
		"It's a Secret to Everybody",
		http.Header{"X-Hub-Signature-256": {"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		[]byte("Hello, World!"),
	}
	for _, peer := range hubs {
		require.NoError(t, goPeers[peer](example), peer)
	}
	require.NoError(t, ours("GitHub", example))
	for name, body := range bodies {
		p := probe{example.secret, http.Header{"X-Hub-Signature-256": {"sha256=" + hexMAC(example.secret, string(body))}}, body}
		require.NoError(t, goPeers[githubGo](p), name)
		require.Equal(t, len(body) > 0, goPeers[playGo](p) == nil, name)
		require.NoError(t, ours("GitHub", p), name)
		p.body = append([]byte("x"), body...)
		require.Error(t, goPeers[githubGo](p), name)
		require.Error(t, goPeers[playGo](p), name)
		require.ErrorIs(t, ours("GitHub", p), signer.ErrNoMatch, name)
	}
}

// The tolerance is five minutes everywhere. stripe-go has none for times in the
// future, as the table says.
func TestTolerance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now() // a whole second in a bubble
		secret, body := "whsec_"+base64.StdEncoding.EncodeToString(make([]byte, 32)), bodies["json"]
		for offset, fine := range map[time.Duration]bool{
			-5 * time.Minute: true, 5 * time.Minute: true, -5*time.Minute - time.Second: false, 5*time.Minute + time.Second: false,
		} {
			at := seconds(now.Add(offset))
			standard := probe{secret, http.Header{
				"Webhook-Id": {testID}, "Webhook-Timestamp": {at}, "Webhook-Signature": {"v1," + standardMAC(secret, testID, at, body)},
			}, body}
			stripes := probe{secret, http.Header{"Stripe-Signature": {"t=" + at + ",v1=" + hexMAC(secret, at, ".", string(body))}}, body}
			for name, err := range map[string]error{
				"our Standard": ours("Standard", standard), standardGo: goPeers[standardGo](standard), svixGo: goPeers[svixGo](standard),
				"our Stripe": ours("Stripe", stripes),
			} {
				require.Equal(t, fine, err == nil, "%s, %v: %v", name, offset, err)
			}
			require.Equal(t, fine || offset > 0, goPeers[stripeGo](stripes) == nil, offset)
		}
	})
}

// The tests' own MACs are those of the peers.
func TestHelpers(t *testing.T) {
	t.Parallel()
	secret, now := signer.GenerateSecret().Reveal(), time.Now()
	w, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	made, err := w.Sign(testID, now, bodies["json"])
	require.NoError(t, err)
	require.Equal(t, "v1,"+standardMAC(secret, testID, seconds(now), bodies["json"]), made)
	require.Equal(t, hex.EncodeToString(stripe.ComputeSignature(now, bodies["json"], secret)), hexMAC(secret, seconds(now), ".", string(bodies["json"])))
}
