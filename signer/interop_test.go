package signer_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

const interopBody = "{\"event\":\"deploy.live\", \"app\": \"h\u00e9\", \"n\": 1.0}\n"

// A receiver in Node that follows the usual pattern accepts the signatures of
// Timestamped, and no others.
func TestNodeReceiverAcceptsTimestamped(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), servicetest.Program(t, "node"), filepath.Join("testdata", "pattern.mjs"), "receive")
	cmd.Env = append(os.Environ(), "SECRET="+literal)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		stdin.Close()
		_ = cmd.Wait()
	}()
	port, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	post := func(change func(*http.Request)) int {
		r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:"+strings.TrimSpace(port)+"/webhooks/deploy", strings.NewReader(interopBody))
		require.NoError(t, err)
		require.NoError(t, timestamped(t, literalSecret(t, literal)).Sign(r.Context(), r, "whk_1", time.Now(), []byte(interopBody)))
		change(r)
		resp, err := client.Do(r)
		require.NoError(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, 200, post(func(*http.Request) {}))
	require.Equal(t, 401, post(func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(interopBody[:len(interopBody)-1] + " "))
	}))
	require.Equal(t, 401, post(func(r *http.Request) {
		require.NoError(t, timestamped(t, literalSecret(t, literal)).Sign(r.Context(), r, "whk_1", time.Now().Add(-time.Hour), []byte(interopBody)))
	}))
}

// The reverse: Node's crypto signs, Timestamped verifies.
func TestTimestampedAcceptsNodeSignature(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), servicetest.Program(t, "node"), filepath.Join("testdata", "pattern.mjs"), "sign")
	cmd.Env = append(os.Environ(), "SECRET="+literal)
	cmd.Stdin = strings.NewReader(interopBody)
	out, err := cmd.Output()
	require.NoError(t, err)
	var headers map[string]string
	require.NoError(t, json.Unmarshal(out, &headers))
	verifyTimestamped(t, headers)
}

// The same with OpenSSL's HMAC, for machines without Node.
func TestTimestampedAcceptsOpenSSLSignature(t *testing.T) {
	t.Parallel()
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	cmd := exec.CommandContext(t.Context(), servicetest.Program(t, "openssl"), "dgst", "-sha256", "-hmac", literal, "-r")
	cmd.Stdin = strings.NewReader(timestamp + "." + interopBody)
	out, err := cmd.Output()
	require.NoError(t, err)
	signature, _, _ := bytes.Cut(out, []byte(" "))
	verifyTimestamped(t, map[string]string{"X-Webhook-Timestamp": timestamp, "X-Webhook-Signature": string(signature)})
}

func verifyTimestamped(t *testing.T, headers map[string]string) {
	t.Helper()
	r := request([]byte(interopBody))
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	scheme := timestamped(t, literalSecret(t, literal))
	_, err := scheme.Verify(r, []byte(interopBody))
	require.NoError(t, err)
	_, err = scheme.Verify(r, []byte(interopBody+" "))
	require.Error(t, err)
}
