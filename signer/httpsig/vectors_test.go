package httpsig

import (
	"bufio"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// The request of RFC 9421 §B.2 and the keys of §B.1.4 and §B.1.5.
const (
	rfcRequest = "POST /foo?param=Value&Pet=dog HTTP/1.1\r\n" +
		"Host: example.com\r\n" +
		"Date: Tue, 20 Apr 2021 02:07:55 GMT\r\n" +
		"Content-Type: application/json\r\n" +
		"Content-Digest: sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:\r\n" +
		"Content-Length: 18\r\n"
	rfcBody    = `{"hello": "world"}`
	rfcSecret  = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
	rfcEd25519 = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n"
)

var rfcVectors = []struct{ name, key, input, base, signature string }{
	{
		"B.2.5", "test-shared-secret",
		`sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
		`"date": Tue, 20 Apr 2021 02:07:55 GMT
"@authority": example.com
"content-type": application/json
"@signature-params": ("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
		"sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
	},
	{
		"B.2.6", "test-key-ed25519",
		`sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
		`"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
		"sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
	},
}

// From the RFC's headers and keys, the parser and the signature base give
// exactly the RFC's signatures.
func TestRFCVectors(t *testing.T) {
	t.Parallel()
	keys := rfcKeys(t)
	for _, v := range rfcVectors {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(
				rfcRequest + "Signature-Input: " + v.input + "\r\nSignature: " + v.signature + "\r\n\r\n" + rfcBody)))
			require.NoError(t, err)
			signatures, err := parse(r.Header)
			require.NoError(t, err)
			require.Len(t, signatures, 1)
			require.Equal(t, v.key, signatures[0].keyID())

			to, err := targetOf(r, nil)
			require.NoError(t, err)
			require.Equal(t, "http://example.com/foo?param=Value&Pet=dog", to.uri())
			params, err := httpsfv.Marshal(signatures[0].list)
			require.NoError(t, err)
			var names []string
			for _, item := range signatures[0].list.Items {
				names = append(names, item.Value.(string))
			}
			base, err := message{r, to}.appendBase(nil, names, params)
			require.NoError(t, err)
			require.Equal(t, v.base, string(base))

			key := keys[v.key]
			made, err := key.sign(t.Context(), nil, base)
			require.NoError(t, err)
			_, encoded, _ := strings.Cut(v.signature, "=:")
			require.Equal(t, strings.TrimSuffix(encoded, ":"), base64.StdEncoding.EncodeToString(made))
			require.True(t, key.verify(base, signatures[0].bytes))
			require.False(t, key.verify(append(base, ' '), signatures[0].bytes))

			_, err = signatures[0].components()
			require.ErrorIs(t, err, signer.ErrMalformed, "the RFC's examples do not cover what a webhook must")
		})
	}
}

func rfcKeys(t *testing.T) map[string]*activeKey {
	t.Helper()
	secret, err := signer.ParseSecret("whsec_" + rfcSecret)
	require.NoError(t, err)
	shared, err := NewKey("test-shared-secret", secret)
	require.NoError(t, err)
	block, _ := pem.Decode([]byte(rfcEd25519))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	private := parsed.(interface{ Seed() []byte })
	signing, err := signer.ParseSigningKey("whsk_" + base64.StdEncoding.EncodeToString(private.Seed()))
	require.NoError(t, err)
	asymmetric, err := NewKey("test-key-ed25519", signing)
	require.NoError(t, err)
	set, err := newKeySet([]Key{shared, asymmetric})
	require.NoError(t, err)
	return map[string]*activeKey{set[0].id: set[0], set[1].id: set[1]}
}

// A target is spelled as the sender spelled it, no matter which form the
// request line has or what handlers did to the URL.
func TestTarget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, line, host, want string }{
		{"origin form", "/a%2Fb/c?x=1&y=%20", "Hooks.Example.com", "http://hooks.example.com/a%2Fb/c?x=1&y=%20"},
		{"default port", "/", "hooks.example.com:80", "http://hooks.example.com/"},
		{"other port", "/", "hooks.example.com:443", "http://hooks.example.com:443/"},
		{"IPv6", "/x", "[::1]:8080", "http://[::1]:8080/x"},
		{"two slashes", "//x//y", "h", "http://h//x//y"},
		{"a URL in the path", "/http://other/x", "h", "http://h/http://other/x"},
		{"empty query", "/x?", "h", "http://h/x?"},
		{"absolute form", "http://h/x?y", "h", "http://h/x?y"},
		{"absolute form says https", "https://h/x", "h", "http://h/x"},
		{"absolute form without a path", "http://h?y=1", "h", "http://h/?y=1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("POST " + c.line + " HTTP/1.1\r\nHost: " + c.host + "\r\n\r\n")))
			require.NoError(t, err)
			r.URL.Path, r.URL.RawPath, r.URL.RawQuery = "/stripped", "", "" // as a handler may
			got, err := targetOf(r, nil)
			require.NoError(t, err)
			require.Equal(t, c.want, got.uri())
		})
	}
	for _, line := range []string{"OPTIONS *", "CONNECT h:80"} {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line + " HTTP/1.1\r\nHost: h\r\n\r\n")))
		require.NoError(t, err)
		_, err = targetOf(r, nil)
		require.ErrorIs(t, err, signer.ErrMalformed)
	}
	_, err := targetOf(&http.Request{}, nil)
	require.ErrorIs(t, err, signer.ErrMalformed)
}
