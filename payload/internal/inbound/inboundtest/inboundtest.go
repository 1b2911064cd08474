// Package inboundtest holds helpers for the tests of all inbound packages.
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

	"github.com/deployhook/deployhook/internal/seeds"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

// update rewrites the golden files, as in go test ./payload/github -update.
// Read the difference before committing it.
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

// Golden decodes testdata/<name>.json and compares the deployment, without the
// raw event, with testdata/golden/<name>.json.
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
	require.NoError(t, err, "run the test with -update")
	assert.JSONEq(t, string(want), string(got))
}

// Replace replaces old, which must occur exactly once. Otherwise a test case
// could silently use the unchanged event.
func Replace(t testing.TB, doc []byte, old, replacement string) []byte {
	t.Helper()
	require.Equal(t, 1, strings.Count(string(doc), old), "%q in %s", old, doc)
	return []byte(strings.Replace(string(doc), old, replacement, 1))
}

// Meta returns a member of the metadata as text, or "" if it is absent.
func Meta(d *payload.Deployment, name string) string {
	value, _ := d.Metadata.Get(name)
	return value.String()
}

// Invalid requires that the decoder refuses a body with this text after
// "Invalid payload: ".
func Invalid(t testing.TB, decode Decode, body []byte, want string) {
	t.Helper()
	d, err := decode(body)
	require.ErrorIs(t, err, payload.ErrInvalid, "want %s", want)
	assert.NotErrorIs(t, err, payload.ErrIgnored)
	assert.Nil(t, d)
	assert.EqualError(t, err, "Invalid payload: "+want)
}

// Ignored requires that the decoder ignores a body for a reason that contains
// this text.
func Ignored(t testing.TB, decode Decode, body []byte, want string) {
	t.Helper()
	d, err := decode(body)
	require.ErrorIs(t, err, payload.ErrIgnored, "%s", body)
	assert.NotErrorIs(t, err, payload.ErrInvalid)
	assert.Nil(t, d)
	assert.ErrorContains(t, err, want)
}

// Strict requires that the decoder reads an event strictly. This holds for
// every system.
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
	assert.Equal(t, "true", Meta(d, inbound.MetaNoRaw), "an event that is too large is left out, and the metadata says so")
}

// Fuzz decodes its input. The result must be a valid deployment that survives
// encoding and decoding, or an error that tells an invalid event from other
// failures.
//
// The seeds are all deliveries in testdata/*.json, and those that package seeds
// reads from the target's file. Fuzz fails unless there are want seeds.
func Fuzz(f *testing.F, decode Decode, want int) {
	f.Helper()
	seeds.Add(f, want, deliveries(f)...)
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := decode(body)
		if err != nil {
			require.Nil(t, d)
			require.NotEqual(t, errors.Is(err, payload.ErrInvalid), errors.Is(err, payload.ErrIgnored), "want ErrInvalid or ErrIgnored: %v", err)
			require.Less(t, len(err.Error()), 8<<10)
			return
		}
		require.NoError(t, d.Validate())
		require.NotEmpty(t, Meta(d, "originalStatus")+Meta(d, "event"))
		encoded, err := d.Encode()
		require.NoError(t, err)
		again, err := payload.DecodeDeployment(encoded)
		require.NoError(t, err)
		d.Dropped = nil // The record does not contain the dropped members.
		require.Equal(t, d, again)
	})
}

func deliveries(f *testing.F) []seeds.Seed {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	require.NoError(f, err)
	all := make([]seeds.Seed, len(files))
	for i, file := range files {
		all[i] = seeds.Seed{Read(f, filepath.Base(file))}
	}
	return all
}
