package console_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/internal/webui/webuitest"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/signer"
)

// headersOf are the lines that a customer would paste.
func headersOf(r received, id string) string {
	lines := []string{"Webhook-Timestamp: " + r.header.Get("Webhook-Timestamp"), "Webhook-Signature: " + r.header.Get("Webhook-Signature")}
	return strings.Join(append(lines, "Webhook-Id: "+id), "\n")
}

// The box says which part of a request is wrong.
func TestVerify(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	require.NoError(t, w.Start(t.Context()))
	g := newTarget(t, 401)
	_, secret := w.endpointAt("shop", g.URL)
	id := w.publish("shop", "dep_1")
	w.ended("shop", id, outbox.Failed)
	page := w.as("shop").Open("/apps/shop/deliveries/" + id)
	page.Says("The endpoint refused the request with 401 Unauthorized.", "Check that it has the endpoint's current secret")
	got := g.last()
	good := headersOf(got, id)
	page.Says("Webhook-Signature: [shown 10 minutes after the attempt]")
	require.NotContains(t, page.Source, html.EscapeString(got.header.Get("Webhook-Signature")), "a viewer could send it")

	check := func(headers, body string) *webuitest.Shown {
		answer := page.Submit("Check", "headers", headers, "received", body)
		require.NotContains(t, answer.Text(), secret.Reveal())
		return answer.Says()
	}
	check(good, "").Says("The signature is valid.", "It is that of attempt 1.", "Nothing was pasted")
	check("-H '"+strings.ReplaceAll(good, "\n", "' \\\n-H '")+"' \\", string(got.body)).Says("The signature is valid.", "byte for byte")
	check(good, string(got.body)+"\n").Says("The signature is not valid.", "It differs from what was sent", "without the white space around it")
	check(strings.Replace(good, id, "whk_other", 1), "").Says("not valid", "This is not the ID of this delivery.")
	check(strings.Replace(good, "v1,", "v1,AAAA", 1), "").Says("not valid")
	check("Webhook-Id: "+id, "").Says("not valid", "Missing header")
	check("nonsense", "").Says("Paste the headers with their names")
	late := time.Now().Add(-48 * time.Hour)
	check("Webhook-Id: "+id+"\nWebhook-Timestamp: "+strconv.FormatInt(late.Unix(), 10)+"\nWebhook-Signature: v1,x", "").Says("more than 24 hours old", "No attempt of this delivery")
	check("Webhook-Id: "+id+"\nWebhook-Timestamp: soon\nWebhook-Signature: v1,x", "").Says("It must be a number")
}

// Every attempt can be looked at, with its answer.
func TestDelivery_Attempts(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	require.NoError(t, w.Start(t.Context()))
	g := newTarget(t, 503)
	g.answer = "out of coffee"
	w.endpointAt("shop", g.URL)
	id := w.publish("shop", "dep_1")
	w.ended("shop", id, outbox.Failed)
	g.set(429, strings.Repeat("long ", 4<<10))
	require.NoError(t, w.App("shop").Replay(t.Context(), id))
	require.Eventually(t, func() bool {
		d, err := w.App("shop").Delivery(t.Context(), id)
		return err == nil && d.Attempts == 2 && d.State == outbox.Failed
	}, patience, 5*time.Millisecond)
	page := w.as("shop").Open("/apps/shop/deliveries/" + id)
	page.Says("429", "Set a rate limit for the endpoint", "This is the beginning.", "Took")
	page.Follow("Show attempt 1").Says("out of coffee", "The endpoint failed with a server error (5xx).")
	body := page.Follow("Download the exact bytes")
	require.Equal(t, string(g.last().body), body.Source)
	require.Equal(t, "attachment; filename=\""+id+".bin\"", body.Header.Get("Content-Disposition"))
}

// A page stays small, however large what it shows is.
func TestDelivery_StaysSmall(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	require.NoError(t, w.Start(t.Context()))
	g := newTarget(t, 500)
	g.answer = strings.Repeat(`"'<&`, 16<<10)
	w.endpointAt("shop", g.URL)
	event := eventWith("")
	event.Error = "x"
	require.NoError(t, event.Extra.Set("note", strings.Repeat(`"<&'`, 16<<10)))
	p, err := w.App("shop").Publish(t.Context(), event)
	require.NoError(t, err)
	id := p.Deliveries[0].ID
	w.ended("shop", id, outbox.Failed)
	for range 55 {
		before := attempts(t, w, id)
		require.NoError(t, w.App("shop").Replay(t.Context(), id))
		require.Eventually(t, func() bool { return attempts(t, w, id) > before }, patience, time.Millisecond)
	}
	w.as("shop").Open("/apps/shop/deliveries/"+id).Says("older attempts not shown", "only the beginning is shown")
}

func attempts(t *testing.T, w *world, id string) int {
	t.Helper()
	d, err := w.App("shop").Delivery(t.Context(), id)
	require.NoError(t, err)
	if d.State == outbox.Pending || d.State == outbox.Delivering {
		return 0
	}
	return d.Attempts
}

// The programs on the page sign as the sender does, for each scheme.
func TestSamples(t *testing.T) {
	t.Parallel()
	shell := servicetest.Program(t, "bash")
	servicetest.Program(t, "curl")
	servicetest.Program(t, "openssl")
	for _, scheme := range []outbox.Scheme{
		outbox.SchemeStandard, outbox.SchemeTimestamped, outbox.SchemeStripe, outbox.SchemeBearer, outbox.InsecureUnsigned,
	} {
		t.Run(string(scheme), func(t *testing.T) {
			t.Parallel()
			w := onSQLite(t)
			require.NoError(t, w.Start(t.Context()))
			g := newTarget(t, 200)
			config := outbox.EndpointConfig{URL: sender.NewURL(g.URL), Scheme: scheme}
			key := "an-API-key-of-32-bytes-or-so-1234"
			if scheme == outbox.SchemeBearer {
				config.Secret = outbox.NewSecret(key)
			}
			_, secret, err := w.App("shop").CreateEndpoint(t.Context(), config)
			require.NoError(t, err)
			p, err := w.App("shop").Publish(t.Context(), eventWith("it's $HOME and \\ \"quoted\" é"))
			require.NoError(t, err)
			id := p.Deliveries[0].ID
			w.ended("shop", id, outbox.Delivered)
			sent := g.last()

			page := w.as("shop").Open("/apps/shop/deliveries/" + id)
			cmd := exec.CommandContext(t.Context(), shell, "-euo", "pipefail", "-c", sample(t, page, "curl"))
			cmd.Dir = t.TempDir()
			cmd.Env = append(os.Environ(), "WEBHOOK_URL="+g.URL, "WEBHOOK_SECRET="+secret.Reveal())
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			again := g.last()
			require.True(t, bytes.Equal(sent.body, again.body), "%s", again.body)
			require.Equal(t, sent.header.Get("Content-Type"), again.header.Get("Content-Type"))
			require.Equal(t, sent.header.Get("Webhook-Id"), again.header.Get("Webhook-Id"))
			if scheme == outbox.SchemeBearer {
				require.Equal(t, sent.header.Get("Authorization"), again.header.Get("Authorization"))
			} else if scheme != outbox.InsecureUnsigned {
				_, err = w.App("shop").VerifyRequest(t.Context(), id, again.header, again.body)
				require.NoError(t, err)
			}
		})
	}
}

// The Go test compiles and passes.
func TestSamples_Go(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	require.NoError(t, w.Start(t.Context()))
	g := newTarget(t, 200)
	_, secret := w.endpointAt("shop", g.URL)
	id := w.publish("shop", "dep_1")
	w.ended("shop", id, outbox.Delivered)
	dir := t.TempDir()
	file := filepath.Join(dir, "delivery_test.go")
	require.NoError(t, os.WriteFile(file, []byte(sample(t, w.as("shop").Open("/apps/shop/deliveries/"+id), "Go test")), 0o600))
	cmd := exec.CommandContext(t.Context(), servicetest.Program(t, "go"), "test", "-count=1", file)
	cmd.Env = append(os.Environ(), "WEBHOOK_URL="+g.URL, "WEBHOOK_SECRET="+secret.Reveal())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	again := g.last()
	_, err = w.App("shop").VerifyRequest(t.Context(), id, again.header, again.body)
	require.NoError(t, err)
	require.NotEmpty(t, again.header.Get(signer.HeaderSignature))
}

// sample is one of the programs of the page.
func sample(t *testing.T, s *webuitest.Shown, name string) string {
	t.Helper()
	box := s.Find(func(n *html.Node) bool {
		return n.Data == "details" && n.FirstChild != nil && webuitest.TextOf(n.FirstChild) == name
	})
	require.NotNil(t, box, name)
	for n := range box.Descendants() {
		if n.Data == "pre" {
			return n.FirstChild.Data
		}
	}
	return ""
}

// With a key pair the customer can't sign, so the page says why.
func TestSamples_NeedASharedSecret(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	made := w.as("shop").Open("/apps/shop/endpoints/new").Submit("Add the endpoint", "url", newTarget(t, 200).URL, "scheme", "ed25519")
	made.Says("The public key", "whpk_")
	id := w.publish("shop", "dep_1")
	page := w.as("shop").Open("/apps/shop/deliveries/" + id)
	page.Says("private key that only the sender has", "Waits for its turn.", "No attempt was made yet.")
}
