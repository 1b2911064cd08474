package interop

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	playground "github.com/go-playground/webhooks/v6/github"
	"github.com/google/go-github/v84/github"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	stripe "github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const testID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"

// bodies has values that break code which does not treat a body as bytes.
var bodies = map[string][]byte{
	"json":       []byte(`{"event":"deploy.live","n":1.0}`),
	"unicode":    []byte("{\"app\":\"h\u00e9llo \U0001f680 \u2028\",\"e\":\"\\u00e9\"}\r\n"),
	"empty":      {},
	"percent":    []byte(`{"a":"100%d %s %!"}`),
	"zero bytes": []byte("{\"a\":\"\x00\"}"),
}

// probe is a request together with the receiver's secret.
type probe struct {
	secret string
	header http.Header
	body   []byte
}

// Names of the peers, as in the table. Their versions are those of go.mod and
// testdata/package.json.
const (
	standardGo = "standard-webhooks (Go)"
	svixGo     = "svix (Go)"
	standardJS = "standardwebhooks (npm)"
	svixJS     = "svix (npm)"
	stripeGo   = "stripe-go"
	githubGo   = "go-github"
	playGo     = "go-playground/webhooks"
)

// goPeers verify a probe, each as its documentation says.
var goPeers = map[string]func(probe) error{
	standardGo: func(p probe) error {
		w, err := standardwebhooks.NewWebhook(p.secret)
		if err != nil {
			return err
		}
		return w.Verify(p.body, p.header)
	},
	svixGo: func(p probe) error {
		w, err := svix.NewWebhook(p.secret)
		if err != nil {
			return err
		}
		return w.Verify(p.body, p.header)
	},
	stripeGo: func(p probe) error { return stripe.ValidatePayload(p.body, p.header.Get("Stripe-Signature"), p.secret) },
	githubGo: func(p probe) error {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(p.body))
		r.Header = p.header.Clone()
		r.Header.Set("Content-Type", "application/json")
		_, err := github.ValidatePayload(r, []byte(p.secret))
		return err
	},
	playGo: func(p probe) error {
		hook, err := playground.New(playground.Options.Secret(p.secret))
		if err != nil {
			return err
		}
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(p.body))
		r.Header = p.header.Clone()
		r.Header.Set("X-GitHub-Event", "push")
		_, err = hook.Parse(r, playground.PushEvent)
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			return nil // it decodes what it has verified
		}
		return err
	},
}

// ours verifies a probe with our scheme for that peer.
func ours(scheme string, p probe) error {
	v, err := newScheme(scheme, p.secret)
	if err != nil {
		return err
	}
	_, err = v.Verify(request(p), p.body)
	return err
}

func newScheme(scheme, secret string) (signer.Scheme, error) {
	if scheme == "Standard" {
		key, err := signer.ParseSecret(secret)
		if err != nil {
			return nil, err
		}
		return signer.NewStandard(key)
	}
	key, err := signer.NewLiteralSecret(secret)
	if err != nil {
		return nil, err
	}
	switch scheme {
	case "Timestamped":
		return signer.NewTimestamped(key)
	case "Stripe":
		return signer.NewStripe(key)
	case "GitHub":
		return signer.NewGitHub(key)
	}
	return nil, errors.New("interop: no scheme " + scheme)
}

func request(p probe) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/deploy", nil)
	r.Header = p.header
	return r
}

// mac returns the HMAC-SHA256 of a text, computed by Go's standard library
// only.
func mac(key []byte, texts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, text := range texts {
		h.Write([]byte(text))
	}
	return h.Sum(nil)
}

func standardMAC(secret, id, timestamp string, body []byte) string {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(mac(raw, id, ".", timestamp, ".", string(body)))
}

func hexMAC(secret string, texts ...string) string {
	return hex.EncodeToString(mac([]byte(secret), texts...))
}

func seconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// sign returns the headers that one of our schemes sets.
func sign(t testing.TB, s signer.Signer, at time.Time, body []byte) http.Header {
	t.Helper()
	r := request(probe{header: http.Header{}})
	require.NoError(t, s.Sign(r.Context(), r, testID, at, body))
	return r.Header
}

// version returns the version of a module that go.mod requires.
func version(t *testing.T, module string) string {
	t.Helper()
	text, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(text), "\t"+module+" ")
	require.True(t, ok, module)
	v, _, _ := strings.Cut(rest, "\n")
	return v
}
