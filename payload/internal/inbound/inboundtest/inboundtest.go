// Package inboundtest holds what the tests of all inbound packages have in common.
package inboundtest

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

// update writes the golden files anew: go test ./payload/github -update. Read the difference before committing it.
var update = flag.Bool("update", false, "write the golden files")

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
	assert.NotErrorIs(t, err, payload.ErrIgnored)
	assert.Nil(t, d)
	assert.EqualError(t, err, "Invalid payload: "+want)
}

// Ignored requires that a body is ignored for a reason with this text in it.
func Ignored(t testing.TB, decode Decode, body []byte, want string) {
	t.Helper()
	d, err := decode(body)
	require.ErrorIs(t, err, payload.ErrIgnored, "%s", body)
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
		strings.Repeat(`{"a":`, 10001): "body must not be nested more than 128 levels deep",
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
			require.NotEqual(t, errors.Is(err, payload.ErrInvalid), errors.Is(err, payload.ErrIgnored), "one of the two: %v", err)
			require.Less(t, len(err.Error()), 8<<10)
			return
		}
		require.NoError(t, d.Validate())
		require.NotEmpty(t, Meta(d, "originalStatus")+Meta(d, "event"))
		encoded, err := d.Encode()
		require.NoError(t, err)
		again, err := payload.DecodeDeployment(encoded)
		require.NoError(t, err)
		d.Dropped = nil // what the record is kept without is not in it
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
