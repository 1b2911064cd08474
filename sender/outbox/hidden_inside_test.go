package outbox

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/hidden/hiddentest"
	"github.com/deployhook/deployhook/sender"
)

// An endpoint shows no secret between the decryption and the making of its
// signer. Only the sealed form contains the text of its keys.
func TestUnsealedEndpointIsHidden(t *testing.T) {
	t.Parallel()
	const canary = "CANARYCANARYCANARYCANARYCANARYCA"
	created, _, err := SchemeStandard.newKey("whsec_" + canary)
	require.NoError(t, err)
	sealed, err := encodeKeys([]storedKey{created, {NotAfter: 7}})
	require.NoError(t, err)
	require.JSONEq(t, `[{"text":"whsec_`+canary+`"},{"text":"","not_after":7}]`, string(sealed))
	keys, err := decodeKeys(sealed)
	require.NoError(t, err)
	require.Equal(t, "whsec_"+canary, keys[0].text.Reveal())
	require.EqualValues(t, 7, keys[1].NotAfter)

	certificate := keyPair(t, canary)
	row := endpointRow{
		url: sender.NewURL("https://hooks.example.com/" + canary), header: sender.NewHeader(http.Header{"X-Api-Key": {canary}}), keys: keys,
		certificate: certificate,
	}
	hiddentest.RequireHidden(t, []string{canary}, created, keys[0], keys, row, certificate)
	text, err := encodeCertificate(certificate)
	require.NoError(t, err)
	read, err := decodeCertificate(text)
	require.NoError(t, err)
	require.Equal(t, certificate.Reveal().PrivateKey, read.Reveal().PrivateKey)
	require.Equal(t, certificate.String(), read.String())
}

// keyPair returns a certificate with an Ed25519 key of this seed.
func keyPair(t *testing.T, seed string) sender.ClientCertificate {
	t.Helper()
	key := ed25519.NewKeyFromSeed([]byte(seed))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	c, err := sender.NewClientCertificate(tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key})
	require.NoError(t, err)
	return c
}
