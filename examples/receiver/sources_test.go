package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each source's package has recorded deliveries.
func TestSources(t *testing.T) {
	t.Parallel()
	sources := []struct {
		name, variable, event string
		sign                  func(body string) func(*http.Request)
	}{
		{"argocd", "ARGOCD_TOKEN", "deployed.json", func(string) func(*http.Request) {
			return header("Authorization", "Bearer "+literal)
		}},
		{"flux", "FLUX_TOKEN", "healthy.json", func(body string) func(*http.Request) {
			return header("X-Signature", hubSignature(body))
		}},
		{"dokploy", "DOKPLOY_TOKEN", "success.json", func(string) func(*http.Request) {
			return header("Authorization", "Bearer "+literal)
		}},
		{"netlify", "NETLIFY_WEBHOOK_SECRET", "ready.json", func(body string) func(*http.Request) {
			return header("X-Webhook-Signature", netlifySignature(body))
		}},
		{"coolify", "COOLIFY_PASSWORD", "success.json", func(string) func(*http.Request) {
			return func(r *http.Request) { r.SetBasicAuth("coolify", literal) }
		}},
		{"jenkins", "JENKINS_PASSWORD", "completed.json", func(string) func(*http.Request) {
			return func(r *http.Request) { r.SetBasicAuth("jenkins", literal) }
		}},
		{"drone", "DRONE_WEBHOOK_SECRET", "success.json", func(body string) func(*http.Request) {
			return func(r *http.Request) { signDrone(r.Header, body) }
		}},
		{"circleci", "CIRCLECI_WEBHOOK_SECRET", "workflow_github.json", func(body string) func(*http.Request) {
			return header("Circleci-Signature", "v1="+strings.TrimPrefix(hubSignature(body), "sha256="))
		}},
	}
	env := make([]string, 0, len(sources))
	for _, s := range sources {
		env = append(env, s.variable+"="+literal)
	}
	p := start(t, env, "-store", "memory")
	require.NotEmpty(t, p.base, p.output())
	for _, s := range sources {
		path := "/webhooks/" + s.name
		event, err := os.ReadFile(filepath.Join("..", "..", "payload", s.name, "testdata", s.event))
		require.NoError(t, err)
		status, body := p.post(path, string(event), func(*http.Request) {})
		assert.Equal(t, http.StatusUnauthorized, status, path)
		assert.NotContains(t, body, "received")
		for _, want := range []string{handled, duplicate} {
			status, body = p.post(path, string(event), s.sign(string(event)))
			assert.Equal(t, http.StatusOK, status, "%s: %s", path, body)
			assert.Equal(t, want, body, path)
		}
	}
	assert.Zero(t, p.stop(), p.output())
	assert.NotContains(t, p.output(), literal, "a secret in the log")
}

func netlifySignature(body string) string {
	input := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"iss":"netlify","sha256":"%x"}`, sha256.Sum256([]byte(body))))
	mac := hmac.New(sha256.New, []byte(literal))
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func signDrone(h http.Header, body string) {
	sum := sha256.Sum256([]byte(body))
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Digest", "SHA-256="+base64.StdEncoding.EncodeToString(sum[:]))
	mac := hmac.New(sha256.New, []byte(literal))
	fmt.Fprintf(mac, "date: %s\ndigest: %s", h.Get("Date"), h.Get("Digest"))
	h.Set("Signature", `keyId="hmac-key",algorithm="hmac-sha256",signature="`+base64.StdEncoding.EncodeToString(mac.Sum(nil))+`",headers="date digest"`)
}
