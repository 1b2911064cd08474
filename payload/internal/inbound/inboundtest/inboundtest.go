// Package inboundtest holds what the tests of all inbound packages have in common.
package inboundtest

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

// update writes the golden files anew: go test ./payload/github -update. Read the difference before committing it.
var update = flag.Bool("update", false, "write the golden files")

// Quiet is a logger that says nothing.
var Quiet = slog.New(slog.DiscardHandler)

// Decode is a package's Decode with the test's options.
type Decode func(body []byte) (*payload.Deployment, error)

// Read returns a file of testdata.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return data
}

// Golden decodes testdata/<name>.json and compares the deployment, without the raw event, with
// testdata/golden/<name>.json.
func Golden(t *testing.T, decode Decode, name string) {
	t.Helper()
	body := Read(t, name+".json")
	d, err := decode(body)
	require.NoError(t, err)
	assert.Equal(t, strings.TrimSpace(string(body)), d.RawPayload.JSON(), "the event is kept to the byte")
	d.RawPayload = payload.Object{}
	got, err := d.Encode()
	require.NoError(t, err)
	file := filepath.Join("testdata", "golden", name+".json")
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, append([]byte(strings.ReplaceAll(string(got), `,"`, ",\n\"")), '\n'), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.JSONEq(t, string(want), string(got))
}

// Replace replaces old, which must be there exactly once, so that a case cannot silently test the unchanged event.
func Replace(t testing.TB, doc []byte, old, replacement string) []byte {
	t.Helper()
	require.Equal(t, 1, strings.Count(string(doc), old), "%q in %s", old, doc)
	return []byte(strings.Replace(string(doc), old, replacement, 1))
}

// Meta returns a member of the metadata as text, "" if it is absent.
func Meta(d *payload.Deployment, name string) string {
	value, _ := d.Metadata.Get(name)
	return value.String()
}

// Invalid requires that a body is refused with this text after "Invalid payload: ".
func Invalid(t testing.TB, decode Decode, body []byte, want string) {
	t.Helper()
	d, err := decode(body)
	require.ErrorIs(t, err, payload.ErrInvalid, "want %s", want)
	assert.NotErrorIs(t, err, inbound.ErrIgnored)
	assert.Nil(t, d)
	assert.EqualError(t, err, "Invalid payload: "+want)
}

// Ignored requires that a body is ignored for a reason with this text in it.
func Ignored(t testing.TB, decode Decode, body []byte, want string) {
	t.Helper()
	d, err := decode(body)
	require.ErrorIs(t, err, inbound.ErrIgnored, "%s", body)
	assert.NotErrorIs(t, err, payload.ErrInvalid)
	assert.Nil(t, d)
	assert.ErrorContains(t, err, want)
}

// Strict requires what holds for every system: an event that is a document of its own is read strictly.
func Strict(t *testing.T, decode Decode, event []byte) {
	t.Helper()
	for body, want := range map[string]string{
		"":                             "body must be a JSON object, but is empty",
		"[]":                           "body must be a JSON object",
		`{"a":1,"a":2}`:                "a must not appear more than once",
		`{"a":{"b":1,"\u0062":2}}`:     "a.b must not appear more than once",
		"{\"a\":\"\xff\"}":             "body must be valid UTF-8",
		string(event) + "x":            "body must be one valid JSON object and nothing else",
		string(event[:len(event)-3]):   "body must be valid JSON, but ends too early",
		strings.Repeat(`{"a":`, 10001): "body must be",
	} {
		_, err := decode([]byte(body))
		require.ErrorIs(t, err, payload.ErrInvalid)
		assert.ErrorContains(t, err, want)
	}
	large := []byte(`{"padding":"` + strings.Repeat("x", inbound.MaxRaw) + `",` +
		strings.TrimLeft(string(event), " \n{"))
	d, err := decode(large)
	require.NoError(t, err)
	assert.True(t, d.RawPayload.IsZero())
	assert.Equal(t, "true", Meta(d, inbound.MetaNoRaw), "an event that is too large is left out, and that is said")
}

// Fuzz decodes what it is given: the result is a valid deployment that encodes and decodes to itself, or an error that
// tells the peer's faults from the rest.
func Fuzz(f *testing.F, decode Decode) {
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := decode(body)
		if err != nil {
			require.Nil(t, d)
			require.NotEqual(t, errors.Is(err, payload.ErrInvalid), errors.Is(err, inbound.ErrIgnored), "one of the two: %v", err)
			require.Less(t, len(err.Error()), 8<<10)
			return
		}
		require.NoError(t, d.Validate())
		require.NotEmpty(t, Meta(d, "originalStatus")+Meta(d, "event"))
		encoded, err := d.Encode()
		require.NoError(t, err)
		again, err := payload.DecodeDeployment(encoded)
		require.NoError(t, err)
		require.Equal(t, d, again)
	})
}

// Seeds requires the number of committed seeds: one that shrinks means that some were lost.
func Seeds(t *testing.T, target string, want int) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("testdata", "fuzz", target))
	require.NoError(t, err)
	assert.Len(t, entries, want, target)
}

// An EndToEnd is a system's webhook as the system calls it.
type EndToEnd struct {
	// New returns the handler under test.
	New func(store dedupe.Store, h inbound.Handler) (http.Handler, error)
	// Decode is the package's, with the same options.
	Decode Decode
	// Sign authenticates a request by hand. Forge does so wrongly; nil: Sign of another body.
	Sign, Forge func(h http.Header, body []byte)
	// Event is one of a deployment, Other a second one, Ignored none, and Invalid one that should be.
	Event, Other, Ignored, Invalid []byte
	// Retry is Event as it comes a second time; nil: the same bytes.
	Retry []byte
	// InvalidText is what the peer is told about Invalid after "Invalid payload: ".
	InvalidText string
	// Unauthorized is the answer to a forged request. Default: {"error":"Invalid signature"}.
	Unauthorized string
}

// Run serves the webhook over HTTP and posts to it.
func (e EndToEnd) Run(t *testing.T) {
	t.Helper()
	if e.Unauthorized == "" {
		e.Unauthorized = `{"error":"Invalid signature"}`
	}
	if e.Forge == nil {
		e.Forge = func(h http.Header, body []byte) { e.Sign(h, append([]byte(" "), body...)) }
	}
	store, err := dedupe.NewMemory()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	var got []*payload.Deployment
	var failure error
	h, err := e.New(store, func(_ context.Context, d *payload.Deployment) error {
		got = append(got, d)
		return failure
	})
	require.NoError(t, err)
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)

	const handled, failed = `{"received":true}`, `{"error":"Delivery was not handled"}`
	want, err := e.Decode(e.Event)
	require.NoError(t, err)

	post(t, server, e.Forge, e.Event, 401, e.Unauthorized)
	post(t, server, func(http.Header, []byte) {}, e.Event, 401, e.Unauthorized)
	require.Empty(t, got, "nothing that is not authentic gets through")

	post(t, server, e.Sign, e.Event, 200, handled)
	require.Equal(t, []*payload.Deployment{want}, got)
	if e.Retry != nil {
		post(t, server, e.Sign, e.Retry, 200, `{"received":true,"duplicate":true}`)
	}
	post(t, server, e.Sign, e.Event, 200, `{"received":true,"duplicate":true}`)
	require.Len(t, got, 1, "a delivery is handled once")

	post(t, server, e.Sign, e.Ignored, 200, `{"received":true,"ignored":true}`)
	post(t, server, e.Sign, e.Invalid, 400, `{"error":"Invalid payload: `+e.InvalidText+`"}`)
	require.Len(t, got, 1)

	failure = errors.New("the database is down")
	post(t, server, e.Sign, e.Other, 500, failed)
	failure = nil
	post(t, server, e.Sign, e.Other, 200, handled)
	require.Len(t, got, 3, "the claim was released, so the retry ran")

	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("payload=%7B%7D"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	assert.Equal(t, http.StatusUnsupportedMediaType, w.Code)
}

func post(t *testing.T, server *httptest.Server, sign func(http.Header, []byte), body []byte, status int, want string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(string(body)))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	sign(r.Header, body)
	response, err := server.Client().Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, status, response.StatusCode, "%s", text)
	assert.Equal(t, want, string(text))
}
