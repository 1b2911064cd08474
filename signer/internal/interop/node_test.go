package interop

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/signer"
	"github.com/deployhook/deployhook/signer/httpsig"
)

const signaturesJS = "http-message-signatures (npm)"

// call is a request to testdata/peers.mjs, and outcome is its answer.
type call struct {
	Lib     string            `json:"lib"`
	Op      string            `json:"op"`
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"`

	Alg    string `json:"alg,omitempty"`
	KeyID  string `json:"keyid,omitempty"`
	Method string `json:"method,omitempty"`
	URL    string `json:"url,omitempty"`
}

type outcome struct {
	Headers map[string]string `json:"headers"`
	Error   string            `json:"error"`
}

// node runs the npm packages on all calls at once.
type node struct{ dir string }

// newNode installs the packages with the versions and hashes of the lock file.
// It runs none of their scripts.
func newNode(t *testing.T) *node {
	t.Helper()
	for _, name := range []string{"node", "npm"} {
		servicetest.Program(t, name)
	}
	n := &node{t.TempDir()}
	for _, name := range []string{"package.json", "package-lock.json", "peers.mjs"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(n.dir, name), text, 0o644))
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error")
	cmd.Dir = n.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		servicetest.Skip(t, fmt.Sprintf("npm ci: %v\n%s", err, out))
	}
	return n
}

func (n *node) run(t *testing.T, calls []call) []outcome {
	t.Helper()
	input, err := json.Marshal(calls)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "node", "peers.mjs")
	cmd.Dir, cmd.Stdin, cmd.Stderr = n.dir, bytes.NewReader(input), os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var outcomes []outcome
	require.NoError(t, json.Unmarshal(out, &outcomes))
	require.Len(t, outcomes, len(calls))
	return outcomes
}

// flat returns headers with one line each in the form in which Node has them.
func flat(h http.Header) map[string]string {
	m := make(map[string]string, len(h))
	for name, values := range h {
		m[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return m
}

// TestNode compares the npm packages with our schemes. Its subtests share one
// installation.
func TestNode(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	t.Run("standard", func(t *testing.T) { testNodeStandard(t, n) })
	t.Run("lenience", func(t *testing.T) { testNodeLenience(t, n) })
	t.Run("httpsig", func(t *testing.T) { testNodeHTTPSig(t, n) })
	t.Run("express", func(t *testing.T) { testNodeExpress(t, n) })
}

// Both directions are tested with all bodies, and with the two signatures of a
// rotation.
func testNodeStandard(t *testing.T, n *node) {
	previous, next := signer.GenerateSecret(), signer.GenerateSecret()
	s, err := signer.NewStandard(next, signer.WithKey(previous))
	require.NoError(t, err)
	now := time.Now()
	var calls []call
	var names []string
	for name, body := range bodies {
		header := flat(sign(t, s, now, body))
		unsigned := map[string]string{"webhook-id": testID, "webhook-timestamp": seconds(now)}
		for _, peer := range nodes {
			for _, secret := range []string{previous.Reveal(), next.Reveal(), strings.TrimPrefix(next.Reveal(), "whsec_")} {
				calls = append(calls, call{Lib: peer, Op: "verify", Secret: secret, Headers: header, Body: body},
					call{Lib: peer, Op: "verify", Secret: secret, Headers: header, Body: append([]byte("x"), body...)},
					call{Lib: peer, Op: "sign", Secret: secret, Headers: unsigned, Body: body})
				names = append(names, peer+"/"+name)
			}
		}
	}
	outcomes := n.run(t, calls)
	for i, name := range names {
		good, bad, made := outcomes[3*i], outcomes[3*i+1], outcomes[3*i+2]
		require.Empty(t, good.Error, "we sign, they verify: %s", name)
		require.Contains(t, bad.Error, "No matching signature", name)
		require.Empty(t, made.Error, name)
		header := http.Header{
			"Webhook-Id": {testID}, "Webhook-Timestamp": {seconds(now)}, "Webhook-Signature": {made.Headers["webhook-signature"]},
		}
		_, err := s.Verify(request(probe{header: header}), calls[3*i].Body)
		require.NoError(t, err, "they sign, we verify: %s", name)
	}
}

// The npm packages treat the rows of the table as it says.
func testNodeLenience(t *testing.T, n *node) {
	var calls []call
	var tested []row
	for _, r := range rows {
		if r.scheme != "Standard" {
			continue
		}
		p := r.build()
		for _, peer := range nodes {
			calls = append(calls, call{Lib: peer, Op: "verify", Secret: p.secret, Headers: flat(p.header), Body: p.body})
			tested = append(tested, r)
		}
	}
	for i, o := range n.run(t, calls) {
		require.Equal(t, slices.Contains(tested[i].accepts, calls[i].Lib), o.Error == "", "%s, %s: %s", calls[i].Lib, tested[i].input, o.Error)
	}
}

// RFC 9421 is tested with both kinds of key against an implementation that
// shares no code with ours.
func testNodeHTTPSig(t *testing.T, n *node) {
	const url = "https://hooks.example.com/a%2Fdeploy?env=prod&app=h%C3%A9"
	secret, signing := signer.GenerateSecret(), signer.GenerateSigningKey()
	private, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signing.Reveal(), "whsk_"))
	require.NoError(t, err)
	type kind struct {
		key             signer.Key
		alg, sign, both string
	}
	var calls []call
	var schemes []*httpsig.Scheme
	for _, k := range []kind{
		{secret, "hmac-sha256", strings.TrimPrefix(secret.Reveal(), "whsec_"), strings.TrimPrefix(secret.Reveal(), "whsec_")},
		{signing, "ed25519", base64.StdEncoding.EncodeToString(private[:ed25519.SeedSize]), strings.TrimPrefix(signing.VerifyingKey().String(), "whpk_")},
	} {
		key, err := httpsig.NewKey("2026-11", k.key)
		require.NoError(t, err)
		s, err := httpsig.New(key)
		require.NoError(t, err)
		for body := range ordered(bodies) {
			r, err := http.NewRequest(http.MethodPost, url, nil)
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
			unsigned := flat(r.Header)
			require.NoError(t, s.Sign(r.Context(), r, testID, time.Now(), body))
			unsigned["webhook-id"], unsigned["content-digest"] = testID, r.Header.Get("Content-Digest")
			c := call{Lib: signaturesJS, Op: "verify", Secret: k.both, Alg: k.alg, KeyID: "2026-11", Method: "POST", URL: url, Headers: flat(r.Header), Body: body}
			moved, unsignedCall := c, c
			moved.URL += "x"
			unsignedCall.Op, unsignedCall.Secret, unsignedCall.Headers = "sign", k.sign, unsigned
			calls = append(calls, c, moved, unsignedCall)
			schemes = append(schemes, s)
		}
	}
	outcomes := n.run(t, calls)
	for i, s := range schemes {
		c, good, bad, made := calls[3*i], outcomes[3*i], outcomes[3*i+1], outcomes[3*i+2]
		require.Empty(t, good.Error, "we sign, they verify: %s", c.Alg)
		require.NotEmpty(t, bad.Error, c.Alg)
		require.Empty(t, made.Error, c.Alg)
		r := httptest.NewRequest(http.MethodPost, url, nil)
		for name, value := range made.Headers {
			r.Header.Set(name, value)
		}
		_, err := s.Verify(r, c.Body)
		require.NoError(t, err, "they sign, we verify: %s %v", c.Alg, r.Header)
		r.RequestURI += "x"
		_, err = s.Verify(r, c.Body)
		require.ErrorIs(t, err, signer.ErrNoMatch)
	}
}

// ordered yields the values of a map in the order of their keys, so that a
// failure is repeatable.
func ordered(m map[string][]byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(m[key]) {
				return
			}
		}
	}
}

// npmVersions gives the pinned versions by their packages' order.
func npmVersions(t *testing.T) iter.Seq2[string, string] {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "package.json"))
	require.NoError(t, err)
	var manifest struct{ Dependencies map[string]string }
	require.NoError(t, json.Unmarshal(text, &manifest))
	return func(yield func(string, string) bool) {
		for _, name := range slices.Sorted(maps.Keys(manifest.Dependencies)) {
			if !yield(name, manifest.Dependencies[name]) {
				return
			}
		}
	}
}

// The lock file has versions and hashes but no registry. npm downloads the
// packages from the registry that it is configured to use.
func TestLockNamesNoRegistry(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "package-lock.json"))
	require.NoError(t, err)
	require.NotContains(t, string(text), `"resolved"`)
	require.NotContains(t, string(text), "://")
	require.Contains(t, string(text), `"integrity": "sha512-`)
	for name, version := range npmVersions(t) {
		require.Regexp(t, `^\d+\.\d+\.\d+$`, version, name)
	}
}

func hexSHA1(secret string, body []byte) string {
	h := hmac.New(sha1.New, []byte(secret))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}
