package sender_test

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// TestEcho_NoFormOfTheURLIsOnRecord lets an endpoint repeat parts of its URL in
// any encoding, in its body, in a header's value and in a header's name.
func TestEcho_NoFormOfTheURLIsOnRecord(t *testing.T) {
	t.Parallel()
	const uri = "/services/T0000/canary%2Bpath-1?key=canary%2Fquery-2&x=3"
	for name, text := range map[string]string{
		"the escaped path":  "/services/T0000/canary%2Bpath-1",
		"the decoded path":  "/services/T0000/canary+path-1",
		"the last segment":  "no hook canary+path-1 here",
		"as it was escaped": "no hook canary%2Bpath-1 here",
		"a raw value":       "key canary%2Fquery-2 is wrong",
		"a decoded value":   "key canary/query-2 is wrong",
		"JSON":              `{"key":"canary\/query-2"}`,
		"JSON in code":      `{"key":"\u0063anary\u002fquery-2"}`,
		"HTML":              html.EscapeString(uri) + " canary&#x2F;query-2",
		"encoded again":     url.QueryEscape(uri),
		"encoded twice":     url.QueryEscape(url.QueryEscape(uri)),
		"upper case":        "CANARY/QUERY-2",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Echo", text)
				w.Header()["X-Canary-Path-1"] = []string{"1"}
				w.WriteHeader(http.StatusNotFound)
				_, _ = io.WriteString(w, "before "+text+" after")
			})
			a := attempt(t, newSender(t), sender.Endpoint{URL: sender.NewURL(server.URL + strings.ReplaceAll(uri, "%2Bpath", "-path")), Signer: standard(t)})
			require.NotContains(t, strings.ToLower(fmt.Sprint(a.ResponseHeader)), "canary-path-1", "a header's name")
			a = attempt(t, newSender(t), sender.Endpoint{URL: sender.NewURL(server.URL + uri), Signer: standard(t)})
			require.Equal(t, http.StatusNotFound, a.Status)
			shown := strings.ToLower(fmt.Sprintf("%s %v %v", a.Body, a.ResponseHeader["X-Echo"], a.Err))
			require.NotContains(t, shown, "anary")
			require.Contains(t, string(a.Body), "before ")
			require.Contains(t, string(a.Body), " after")
			require.Equal(t, []string{"[redacted]"}, a.ResponseHeader["X-Echo"])
		})
	}
}

// TestEcho_CommonWordsStay checks that a record stays readable.
func TestEcho_CommonWordsStay(t *testing.T) {
	t.Parallel()
	const text = `{"error":"webhooks v1 of the api: no deployment, connection refused"}`
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	a := attempt(t, newSender(t), sender.Endpoint{URL: sender.NewURL(server.URL + "/api/v1/webhooks?env=prod"), Signer: standard(t)})
	require.Equal(t, text, string(a.Body))
}

// TestEcho_SecretAtTheEdge checks that nothing is left of a secret that the end
// of the record cuts, whether it is the URL's or a header's.
func TestEcho_SecretAtTheEdge(t *testing.T) {
	t.Parallel()
	const limit = 16 << 10
	for _, secret := range []string{"canary-in-path", "canary-in-head", `\u0063anary\u002din-path`, "canary%252din%252dhead"} {
		for kept := 4; kept < len(secret); kept++ {
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, strings.Repeat(".", limit-kept)+secret)
			})
			a := attempt(t, newSender(t), sender.Endpoint{
				URL: sender.NewURL(server.URL + "/hooks/canary-in-path"), Signer: standard(t),
				Header: sender.NewHeader(http.Header{"X-Api-Key": {"canary-in-head"}}),
			})
			require.True(t, a.Truncated)
			require.Len(t, a.Body, limit)
			require.NotContains(t, string(a.Body), "anar", "%d bytes of %s", kept, secret)
		}
	}
}

// TestEcho_AHeadersValueInOtherEncodings checks an API key in the same
// encodings as the URL.
func TestEcho_AHeadersValueInOtherEncodings(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"canary/key+1", `canary\/key+1`, "canary%2Fkey%2B1", "canary&#47;key&#43;1", "CANARY/KEY+1"} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Echo", text)
			w.Header().Set("Location", "https://canary-key-2.example/")
			_, _ = io.WriteString(w, "key "+text)
		})
		a := attempt(t, newSender(t), sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t), Header: sender.NewHeader(http.Header{
			"X-Api-Key": {"Bearer canary/key+1"}, "X-Other": {"canary-key-2"},
		})})
		require.NotContains(t, strings.ToLower(fmt.Sprintf("%s %v", a.Body, a.ResponseHeader)), "canary", text)
	}
}

// TestEcho_ASignersErrorShowsNoURL checks the errors of a signer, which sees
// the request and may quote it.
func TestEcho_ASignersErrorShowsNoURL(t *testing.T) {
	t.Parallel()
	quoting := signFunc(func(_ context.Context, r *http.Request, _ string, _ time.Time, _ []byte) error {
		return fmt.Errorf("signing POST %s failed", r.URL)
	})
	a := attempt(t, newSender(t), sender.Endpoint{URL: sender.NewURL("https://a.example/hooks/canary-key"), Signer: quoting})
	require.Equal(t, sender.ClassSigner, a.Class)
	require.ErrorContains(t, a.Err, "failed")
	require.NotContains(t, a.Err.Error(), "canary")
}
