package cdevents_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	wire "github.com/deployhook/deployhook/payload/cdevents"
	"github.com/deployhook/deployhook/sender/cdevents"
	"github.com/deployhook/deployhook/sender/internal/formattest"
)

const source = "https://ci.example/acme/shop"

func newFormat(t testing.TB, opts ...cdevents.Option) *cdevents.Format {
	t.Helper()
	f, err := cdevents.New(source, opts...)
	require.NoError(t, err)
	return f
}

func TestGolden(t *testing.T) {
	t.Parallel()
	formattest.Golden(t, newFormat(t, cdevents.WithPipeline("Deploy", "https://ci.example/runs/1")), "golden", *update)
}

// A sent event is read back as the same event under the delivery's ID. Each
// encoding gives the same bytes.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	f := newFormat(t)
	for name, e := range formattest.Events() {
		contentType, body, err := f.Encode(t.Context(), e)
		require.NoError(t, err, name)
		_, again, err := f.Encode(t.Context(), e)
		require.NoError(t, err, name)
		require.Equal(t, body, again)
		require.Equal(t, "application/cloudevents+json", contentType)
		got, err := wire.Decode(http.Header{"Content-Type": {contentType}}, body)
		require.NoError(t, err, name)
		require.Equal(t, e.DeliveryID, got.ID())
		require.Equal(t, source, got.Source())
		back, err := got.Event(payload.Event{})
		require.NoError(t, err, name)
		want, err := e.Encode()
		require.NoError(t, err)
		have, err := back.Encode()
		require.NoError(t, err)
		require.Equal(t, string(want), string(have), name)
	}
}

func TestArtifact(t *testing.T) {
	t.Parallel()
	const purl = "pkg:oci/shop@sha256%3Aabc"
	f := newFormat(t, cdevents.WithArtifact(func(*payload.Event) string { return purl }))
	_, body, err := f.Encode(t.Context(), formattest.Events()["deploy_live"])
	require.NoError(t, err)
	require.Contains(t, string(body), purl)
}

// If the event lacks a member that a CDEvent requires, the error names the
// member.
func TestInvalid(t *testing.T) {
	t.Parallel()
	e := formattest.Events()["deploy_live"]
	e.Commit, e.Version = nil, ""
	_, _, err := newFormat(t).Encode(t.Context(), e)
	var invalid *payload.ValidationError
	require.ErrorAs(t, err, &invalid)
}

func TestHostile(t *testing.T) {
	t.Parallel()
	f := newFormat(t)
	for name, text := range formattest.Hostile() {
		check(t, f, "cache.warmed", text, name)
		check(t, f, "deploy.failed", text, name)
	}
}

func FuzzEncode(f *testing.F) {
	formattest.Seeds(f, 0)
	format := newFormat(f)
	f.Fuzz(func(t *testing.T, typ, text string) { check(t, format, typ, text, "") })
}

// check requires a valid CDEvent.
func check(t testing.TB, f *cdevents.Format, typ, text, name string) {
	t.Helper()
	contentType, body, err := f.Encode(t.Context(), formattest.HostileEvent(payload.Type(typ), text))
	if err != nil {
		return
	}
	_, err = wire.Decode(http.Header{"Content-Type": {contentType}}, body)
	require.NoError(t, err, name)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source string
		opts   []cdevents.Option
		part   string
	}{
		{"", nil, "Source"},
		{"not a reference", nil, "Source"},
		{source, []cdevents.Option{nil}, "nil Option"},
		{source, []cdevents.Option{cdevents.WithArtifact(nil)}, "WithArtifact"},
		{source, []cdevents.Option{cdevents.WithPipeline("x", "")}, "WithPipeline"},
		{source, []cdevents.Option{cdevents.WithPipeline("x", ":not a url")}, "WithPipeline"},
	} {
		_, err := cdevents.New(c.source, c.opts...)
		require.ErrorIs(t, err, cdevents.ErrConfig, c.part)
		require.ErrorContains(t, err, c.part)
	}
}
