package inbound

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/payload"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func build(t *testing.T, body string) (*Builder, Node) {
	t.Helper()
	b, event, err := newBuilder([]byte(body))
	require.NoError(t, err)
	return b, event
}

func TestNodes(t *testing.T) {
	t.Parallel()
	b, event := build(t, `{"a":{"b":[null,{"c":"x"},7],"n":null},"i":9007199254740993,"f":1.5}`)
	items := event.Get("a", "b").Items()
	require.Len(t, items, 2, "null is absent")
	assert.Equal(t, "x", items[0].Get("c").Text())
	assert.Equal(t, "7", items[1].value.JSON())
	assert.False(t, event.Get("a", "n").Exists())
	assert.False(t, event.Get("a", "n", "deeper").Exists())
	assert.Equal(t, "9007199254740993", b.ID("deploymentId", event.Get("i")), "IDs are exact")
	require.Empty(t, b.failures)

	event.Get("i", "x")
	assert.Empty(t, b.failures, "only a field that needs the value reports it")
	b.Branch = b.Text("branch", event.Get("i", "x"), event.Get("f"), event.Get("a", "b"))
	assert.Empty(t, b.failures, "which one that only informs does not")
	event.Get("i", "x").Text()
	event.Get("i", "y", "z").Text()
	items[1].Text()
	event.Get("a").Items()
	b.ID("deploymentId", event.Get("f"))
	assert.Equal(t, []payload.Failure{
		{Path: "i", Message: "must be an object"},
		{Path: "a.b[2]", Message: "must be a string"},
		{Path: "a", Message: "must be an array"},
		{Path: "f", Message: "must be a string or an integer"},
	}, b.failures, "each path once")
}

func TestLongArraysAreBounded(t *testing.T) {
	t.Parallel()
	_, event := build(t, `{"a":[`+strings.Repeat("1,", 1000)+`1]}`)
	assert.Len(t, event.Get("a").Items(), maxItems)
}

func TestJoinID(t *testing.T) {
	t.Parallel()
	b, event := build(t, `{"a":1,"b":"x"}`)
	assert.Equal(t, "1-x", b.JoinID("deploymentId", event.Get("a"), event.Get("b")))
	assert.Empty(t, b.JoinID("deploymentId", event.Get("a"), event.Get("c")))
	assert.Equal(t, "c", b.origins["deploymentId"], "the one that is missing")
}

func TestLinks(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]string{
		"https://ci.example.com/1?a=b#c":   "https://ci.example.com/1?a=b#c",
		"http://localhost:8080":            "http://localhost:8080",
		"https://me:secret@ci.example.com": "https://ci.example.com",
		"https://ci.example.com/a b":       "https://ci.example.com/a%20b",
		"ci.example.com":                   "https://next.example",
		"javascript:alert(1)":              "https://next.example",
	} {
		b, event := build(t, `{"a":"`+link+`","b":"https://next.example"}`)
		assert.Equal(t, want, b.URL("pipelineUrl", event.Get("a"), event.Get("b")), link)
	}
}

func TestLastSegment(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]string{
		"https://h/a/-/commit/abc": "abc", "https://h/a/abc/": "abc", "https://h/abc?x=/y#/z": "abc", "abc": "abc", "": "",
	} {
		assert.Equal(t, want, LastSegment(link), link)
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `"a\n\u00e9"`, Quote("a\né"))
	assert.Len(t, Quote(strings.Repeat("x", 1000)), 64+3+2)
}

func TestSetMeta_ReportsInvalidValue(t *testing.T) {
	t.Parallel()
	b, _ := build(t, `{}`)
	b.SetMeta("empty", "")
	b.SetMeta("nested", []int{1})
	assert.True(t, b.Metadata.IsZero())
	assert.Equal(t, []payload.Failure{{Path: "metadata.nested", Message: "must be a string, number, or boolean"}}, b.failures)
}

// An invalid document that the caller's function found is not the sender's
// mistake.
func TestNewDecoder_CompleterErrorIsNotInvalid(t *testing.T) {
	t.Parallel()
	var result error
	decode := NewDecoder("test", func(*Builder, Node) error { return nil },
		func(context.Context, *payload.Deployment) error { return result })
	_, result = payload.DecodeDeployment([]byte(`{}`))
	_, err := decode(t.Context(), []byte(`{}`))
	require.ErrorContains(t, err, "test: WithComplete: Invalid payload: ")
	require.NotErrorIs(t, err, payload.ErrInvalid)

	result = Ignore("a test")
	_, err = decode(t.Context(), []byte(`{}`))
	require.ErrorIs(t, err, payload.ErrIgnored)
	require.EqualError(t, err, "test: WithComplete: not a deployment event: a test")
}

// The error about a very broken event is shorter than the event.
func TestFailuresAreBounded(t *testing.T) {
	t.Parallel()
	decode := NewDecoder("test", func(_ *Builder, event Node) error {
		for _, item := range event.Get("a").Items() {
			item.Text()
		}
		return nil
	}, nil)
	_, err := decode(t.Context(), []byte(`{"a":[`+strings.Repeat("1,", 255)+`1]}`))
	var invalid *payload.ValidationError
	require.ErrorAs(t, err, &invalid)
	assert.Len(t, invalid.Failures, 32)
	assert.Equal(t, 256-32, invalid.Omitted)
	assert.Less(t, len(err.Error()), 1<<10)
	assert.ErrorContains(t, err, "224 more")
}

func TestSHA256Commits(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("3f786850e387550f", 4)
	decode := NewDecoder("test", func(b *Builder, event Node) error {
		b.Deployment.DeploymentID, b.Environment, b.Status = "1", "e", payload.StatusPending
		b.StartedAt = time.Unix(1, 0)
		b.Commit("", event.Get("sha"))
		return nil
	}, nil)
	d, err := decode(t.Context(), []byte(`{"sha":"`+whole+`"}`))
	require.NoError(t, err)
	assert.Equal(t, whole[:40], d.CommitSHA)
	value, _ := d.Metadata.Get("commit_sha256")
	assert.Equal(t, whole, value.String())
	for _, sha := range []string{whole[:41], whole[:63], whole + "0", whole[:63] + "g"} {
		_, err = decode(t.Context(), []byte(`{"sha":"`+sha+`"}`))
		require.EqualError(t, err, "Invalid payload: sha must be a valid hex string (5-40 characters)")
	}
}

// A member that only informs people is dropped and listed, whatever is wrong
// with it.
func TestDropped(t *testing.T) {
	t.Parallel()
	decode := NewDecoder("test", func(b *Builder, event Node) error {
		b.Deployment.DeploymentID, b.Environment, b.Status, b.CommitSHA = "1", "e", payload.StatusPending, "abcdef1"
		b.StartedAt = time.Unix(1, 0)
		b.Branch = b.Text("branch", event.Get("ref"))
		b.TriggeredBy = b.Text("triggeredBy", event.Get("user", "name"), event.Get("actor"))
		b.PipelineName = b.Text("pipelineName", event.Get("name"))
		b.PipelineURL = b.URL("pipelineUrl", event.Get("link"), event.Get("other"))
		return nil
	}, nil)
	for body, want := range map[string][]payload.Failure{
		`{}`: nil,
		`{"ref":"main","user":{"name":"mona"},"name":7,"link":"https://ci.example/1"}`: nil,
		`{"ref":null,"user":null,"name":"","link":""}`:                                 nil,
		`{"user":"mona","actor":"dana","link":"x","other":"https://ci.example/1"}`:     nil,
		`{"ref":["main"]}`: {{Path: "ref", Message: "must be a string"}},
		`{"user":"mona"}`:  {{Path: "user", Message: "must be an object"}},
		`{"link":"/1"}`:    {{Path: "link", Message: "must be an absolute http or https URL"}},
		`{"name":"` + strings.Repeat("x", 1<<12) + `"}`: {{Path: "name", Message: "must be at most 1024 characters"}},
	} {
		d, err := decode(t.Context(), []byte(body))
		require.NoError(t, err, body)
		assert.Equal(t, want, d.Dropped, body)
		require.NoError(t, d.Validate())
	}
}
