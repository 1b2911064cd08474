package signer_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// A time is signed if it has 1 to 11 digits.
func TestCheckTime_Limits(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int64]error{
		0: signer.ErrInvalidMessage, 1: nil, 99_999_999_999: nil, 100_000_000_000: signer.ErrInvalidMessage,
	} {
		require.ErrorIs(t, signer.CheckTime(time.Unix(seconds, 0)), want, seconds)
	}
}

// Milliseconds are a common mistake, so the error names them. Another text of
// 13 bytes is not called so.
func TestTimestamp_MillisecondsAreNamed(t *testing.T) {
	t.Parallel()
	scheme := timestamped(t, literalSecret(t, literal))
	r := signed(t, scheme, specID, time.Now(), nil)
	for text, named := range map[string]bool{
		"1614265330000": true, "0000000000000": true,
		"161426533000": false, "16142653300000": false, "1614265330abc": false, "abc1614265330": false,
	} {
		r.Header.Set("X-Webhook-Timestamp", text)
		_, err := scheme.Verify(r, nil)
		require.ErrorIs(t, err, signer.ErrMalformed, text)
		require.Equal(t, named, strings.Contains(err.Error(), "milliseconds"), text)
	}
}

// The characters next to the digits in ASCII are no digits.
func TestTimestamp_NeighboursOfDigits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// With ":" taken for ten, the time would be inside the tolerance.
		at(t, 1_614_265_340)
		scheme := timestamped(t, literalSecret(t, literal))
		r := signed(t, scheme, specID, time.Now(), nil)
		for _, text := range []string{"161426533:", "161426534/"} {
			r.Header.Set("X-Webhook-Timestamp", text)
			_, err := scheme.Verify(r, nil)
			require.ErrorIs(t, err, signer.ErrMalformed, text)
		}
	})
}

// A key has only visible ASCII, at every place.
func TestHashAPIKey_Bytes(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef"
	for text, valid := range map[string]bool{
		key: true, "~" + key: true, "!" + key: true, key + "~": true,
		" " + key: false, key + " ": false, "\x7f" + key: false, key + "\x7f": false, "\x1f" + key: false, "\x80" + key: false,
		key[1:]: false, strings.Repeat("x", 4096): true, strings.Repeat("x", 4097): false,
	} {
		_, err := signer.HashAPIKey(text)
		if valid {
			require.NoError(t, err, "%q", text)
		} else {
			require.ErrorIs(t, err, signer.ErrInvalidSecret, "%q", text)
		}
	}
	_, err := signer.ParseAPIKeyHash("sha256:00")
	require.ErrorContains(t, err, "64 lower-case hex digits")
}

// An error about a signature that does not match counts the entries of the
// header.
func TestErrNoMatch_CountsEntries(t *testing.T) {
	t.Parallel()
	body := []byte("{}")
	mac, hexMAC := "v1,"+strings.Repeat("A", 43)+"=", strings.Repeat("0", 64)
	std := standard(t, signer.GenerateSecret(), signer.WithoutDiagnosis())
	r := signed(t, std, specID, time.Now(), body)
	r.Header.Set("Webhook-Signature", mac+" v2,x v1a,"+strings.Repeat("A", 86)+"== v3,y "+mac)
	_, err := std.Verify(r, body)
	require.ErrorContains(t, err, "2 v1 and 1 v1a signature(s) and 2 other entries in Webhook-Signature, 1 key(s) tried")

	stripe := must[*signer.Stripe](t)(signer.NewStripe(signer.GenerateLiteralSecret(), signer.WithoutDiagnosis()))
	r = signed(t, stripe, specID, time.Now(), body)
	stamp := strings.SplitN(r.Header.Get("Stripe-Signature"), ",", 2)[0]
	r.Header.Set("Stripe-Signature", stamp+",v1="+hexMAC+",v0=x,v2=y")
	_, err = stripe.Verify(r, body)
	require.ErrorContains(t, err, "1 v1 signature(s) and 2 other entries in Stripe-Signature, 1 key(s) tried")
}

// The error says what is wrong with a list, and not only that something is.
func TestStripe_SaysWhatIsMalformed(t *testing.T) {
	t.Parallel()
	stripe := must[*signer.Stripe](t)(signer.NewStripe(signer.GenerateLiteralSecret()))
	r := signed(t, stripe, specID, time.Now(), nil)
	good := r.Header.Get("Stripe-Signature")
	for value, says := range map[string]string{
		good + ",x=" + strings.Repeat("x", 8<<10): "at most 8192",
		good + ",t=1":                       "more than one t",
		good + ", t=1":                      "more than one t",
		good + strings.Repeat(",v0=x", 16):  "more than 16 signatures",
		"v1=" + strings.Repeat("0", 64):     "has no t",
		"t=x,v1=" + strings.Repeat("0", 64): "not a Unix time",
		"t=" + strings.Repeat("1", 12):      "1 to 11 digits",
	} {
		r.Header.Set("Stripe-Signature", value)
		_, err := stripe.Verify(r, nil)
		require.ErrorIs(t, err, signer.ErrMalformed, says)
		require.ErrorContains(t, err, says)
	}
}

func TestTimestamped_SaysHowManyDigits(t *testing.T) {
	t.Parallel()
	scheme := timestamped(t, literalSecret(t, literal))
	r := signed(t, scheme, specID, time.Now(), nil)
	r.Header.Set("X-Webhook-Signature", "x")
	_, err := scheme.Verify(r, nil)
	require.ErrorContains(t, err, "64 lower-case hex digits")
}

// Stripe signs with the keys that are active at the time of the attempt, and
// only with an ID that other schemes accept.
func TestStripe_SignsWithActiveKeys(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ended := signer.GenerateLiteralSecret().NotAfter(now.Add(time.Minute))
	stripe := must[*signer.Stripe](t)(signer.NewStripe(ended, signer.WithKey(signer.GenerateLiteralSecret().NotAfter(now.Add(time.Hour)))))
	for after, want := range map[time.Duration]int{0: 2, time.Minute + 1: 1} {
		r := signed(t, stripe, specID, now.Add(after), nil)
		require.Equal(t, want, strings.Count(r.Header.Get("Stripe-Signature"), "v1="), after)
	}
	r := request(nil)
	before := r.Header.Clone()
	require.ErrorIs(t, stripe.Sign(t.Context(), r, specID, now.Add(2*time.Hour), nil), signer.ErrNoActiveKey)
	require.ErrorIs(t, stripe.Sign(t.Context(), r, "a.b", now, nil), signer.ErrInvalidMessage)
	require.Equal(t, before, r.Header)
}

// A v1a entry of the right length that decodes to more bytes is skipped.
func TestStandard_SkipsLongSignatures(t *testing.T) {
	t.Parallel()
	scheme := standard(t, signer.GenerateSecret())
	for _, entry := range []string{"v1a," + strings.Repeat("A", 88), "v1a," + strings.Repeat("A", 87) + "=", "v1," + strings.Repeat("A", 44)} {
		r := signed(t, scheme, specID, time.Now(), nil)
		r.Header.Set("Webhook-Signature", entry+" "+r.Header.Get("Webhook-Signature"))
		_, err := scheme.Verify(r, nil)
		require.NoError(t, err, entry)
	}
}

// A remote key gets the whole message and no hash, as Ed25519 wants it.
func TestNewSigningKey_GetsTheMessage(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	remote := &recorder{PrivateKey: private}
	scheme := standard(t, must[signer.SigningKey](t)(signer.NewSigningKey(remote)))
	signed(t, scheme, "whk_1", time.Unix(specTime, 0), []byte("{}"))
	require.Equal(t, "whk_1.1614265330.{}", string(remote.message))
	require.Zero(t, remote.hash)
}

// recorder is a key that remembers what it signed.
type recorder struct {
	ed25519.PrivateKey
	message []byte
	hash    crypto.Hash
}

func (r *recorder) Sign(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	r.message, r.hash = slices.Clone(message), opts.HashFunc()
	return r.PrivateKey.Sign(random, message, opts)
}
