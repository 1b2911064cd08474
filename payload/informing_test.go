package payload_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/seeds"
	"github.com/deployhook/deployhook/payload"
)

const (
	recordBase = `{"deploymentId":"d","commitSha":"a1b2c3d","environment":"e","status":"in_progress",` +
		`"startedAt":"2024-01-15T10:30:00Z","x":0}`
	eventBase = `{"event":"deploy.live","timestamp":"2026-03-12T14:22:01Z","deployment_id":"d","app":"a",` +
		`"environment":"e","x":0}`
	linkRule = "must be an absolute http or https URL of at most 8192 characters"
)

func TestCleanURL(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		// Browsers open these links without a change.
		{"https://example.com", "https://example.com"},
		{"http://example.com:8080/a?b=c&d[]=1#e", "http://example.com:8080/a?b=c&d[]=1#e"},
		{"HTTPS://EXAMPLE.COM/", "HTTPS://EXAMPLE.COM/"},
		{"https://[::1]:8443/x", "https://[::1]:8443/x"},
		{"https://example.com:/x", "https://example.com:/x"},
		{"https://example.com/100%", "https://example.com/100%"},
		// Browsers repair these links.
		{
			"https://dev.azure.com/org/My Project/_build/results?buildId=1",
			"https://dev.azure.com/org/My%20Project/_build/results?buildId=1",
		},
		{"https://example.com/a\"b<c>d\\e^f`g{h|i}", "https://example.com/a%22b%3Cc%3Ed%5Ce%5Ef%60g%7Bh%7Ci%7D"},
		{"https://example.com/\x01\x7f?q=ä b#ü", "https://example.com/%01%7F?q=%C3%A4%20b#%C3%BC"},
		{"https://münchen.example/ä", "https://münchen.example/%C3%A4"},
		{" \thttps://exam\nple.com/a\r\nb \x00", "https://example.com/ab"},
		{"https://user:secret@example.com/x", "https://example.com/x"},
		{"https://a@b@example.com", "https://example.com"},
		{"https://token@[::1]/x", "https://[::1]/x"},
	} {
		got, ok := payload.CleanURL(test.in)
		assert.True(t, ok, test.in)
		assert.Equal(t, test.want, got)
		again, ok := payload.CleanURL(got)
		assert.True(t, ok && again == got, "cleaning again changes nothing: %q", got)
	}
	for _, in := range []string{
		"", "jenkins/1", "/a", "//example.com", "https:/a", "https:\\\\example.com", "https://", "https:///a", "https://?a", "https://#a",
		"https://user@", "https://user@/a", "ftp://example.com", "javascript:alert(1)", "javascript://x/%0aalert(1)", "httpss://a",
		"http\u017f://example.com", "https://a b", "https://a b/c", `https://good.example\@evil.example/`, "https://exa<mple.com",
		"https://user:to/ken@example.com/x", "https://example.com:http/", "https://example.com:123456/", "https://::1/", "https://[::1/",
		"https://[]/", "https://[zz]/", "https://[::1]x/", "https://%31/", "https://:80/", "https://" + strings.Repeat("a", 8185),
		"https://example.com/" + strings.Repeat(" ", 3000) + "x",
	} {
		got, ok := payload.CleanURL(in)
		assert.False(t, ok, in)
		assert.Empty(t, got, in)
	}
}

// Members that only inform people are repaired or left out. They never make the
// record invalid.
func TestDecodeDeployment_DropsInvalidInformationalMembers(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("ä", 1025) + `"`
	for _, test := range []struct{ member, path, message string }{
		{`"branch":false`, "branch", "must be a string"},
		{`"branch":` + long, "branch", "must be at most 1024 characters"},
		{`"triggeredBy":{"name":"bob"}`, "triggeredBy", "must be a string"},
		{`"triggeredBy":` + long, "triggeredBy", "must be at most 1024 characters"},
		{`"pipelineName":7`, "pipelineName", "must be a string"},
		{`"pipelineName":` + long, "pipelineName", "must be at most 1024 characters"},
		{`"pipelineUrl":["https://example.com"]`, "pipelineUrl", linkRule},
		{`"pipelineUrl":"jenkins/1"`, "pipelineUrl", linkRule},
		{`"pipelineUrl":"javascript://x/%0aalert(1)"`, "pipelineUrl", linkRule},
	} {
		d, err := payload.DecodeDeployment(replace(t, recordBase, `"x":0`, test.member))
		require.NoError(t, err, test.member)
		assert.Equal(t, []payload.Failure{{Path: test.path, Message: test.message}}, d.Dropped)
		assert.Empty(t, d.Branch+d.TriggeredBy+d.PipelineName+d.PipelineURL, test.member)
		encoded, err := d.Encode()
		require.NoError(t, err)
		assert.NotContains(t, string(encoded), test.path)
	}

	d, err := payload.DecodeDeployment(replace(t, recordBase, `"x":0`, `"pipelineUrl":"https://u:p@dev.azure.com/My Project/"`))
	require.NoError(t, err)
	assert.Empty(t, d.Dropped, "a repaired link is kept")
	assert.Equal(t, "https://dev.azure.com/My%20Project/", d.PipelineURL)
}

func TestDecodeEvent_DropsInvalidInformationalMembers(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("ä", 1025) + `"`
	for _, test := range []struct{ member, path, message string }{
		{`"triggered_by":{}`, "triggered_by", "must be a string"},
		{`"commit":{"author":` + long + `}`, "commit.author", "must be at most 1024 characters"},
		{`"commit":{"branch":1}`, "commit.branch", "must be a string"},
		{`"commit":{"branch":` + long + `}`, "commit.branch", "must be at most 1024 characters"},
		{`"url":"javascript:alert(1)"`, "url", linkRule},
		{`"url":"https:///path"`, "url", linkRule},
		{`"url":"https://a b"`, "url", linkRule},
		{`"url":"https://` + strings.Repeat("a", 8192) + `"`, "url", linkRule},
	} {
		e, err := payload.DecodeEvent(replace(t, eventBase, `"x":0`, test.member))
		require.NoError(t, err, test.member)
		assert.Equal(t, []payload.Failure{{Path: test.path, Message: test.message}}, e.Dropped)
		assert.Empty(t, e.TriggeredBy+e.URL, test.member)
		if e.Commit != nil {
			assert.Equal(t, payload.Commit{}, *e.Commit)
		}
	}
}

// An invalid value in any other member still makes the record invalid.
func TestDecode_OtherMembersStayStrict(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ old, new, want string }{
		{`"x":0`, `"completedAt":"yesterday"`, "completedAt must be a valid ISO 8601 date"},
		{`"x":0`, `"organizationSlug":7`, "organizationSlug must be a string"},
		{`"x":0`, `"metadata":{"a":[]}`, "metadata.a must be a string, number, or boolean"},
		{`"x":0`, `"metadata":{"a":null}`, "metadata.a must be a string, number, or boolean"},
		{`"status":"in_progress"`, `"status":null`, "status is required"},
		{`"startedAt":"2024-01-15T10:30:00Z"`, `"startedAt":null`, "startedAt is required"},
		{
			`"status":"in_progress"`, `"status":"success","completedAt":null`,
			"completedAt is required when status is a terminal state (success, failure, cancelled, rolled_back)",
		},
	} {
		_, err := payload.DecodeDeployment(replace(t, recordBase, test.old, test.new))
		assert.EqualError(t, err, "Invalid payload: "+test.want)
	}
	_, err := payload.DecodeEvent(replace(t, eventBase, `"deploy.live"`, `"deploy.failed","error":null`))
	assert.EqualError(t, err, "Invalid payload: error is required when event is deploy.failed")
}

// Serializers in most languages write null for a field without a value.
func TestDecode_NullIsAbsent(t *testing.T) {
	t.Parallel()
	want, err := payload.DecodeDeployment(replace(t, recordBase, `,"x":0`, ``))
	require.NoError(t, err)
	for _, name := range []string{
		"completedAt", "organizationSlug", "service", "branch", "previousCommitSha", "triggeredBy", "pipelineName", "pipelineUrl",
		"rawPayload", "metadata",
	} {
		got, err := payload.DecodeDeployment(replace(t, recordBase, `"x":0`, `"`+name+`":null`))
		require.NoError(t, err, name)
		assert.Equal(t, want, got, name)
	}

	wantEvent, err := payload.DecodeEvent(replace(t, eventBase, `,"x":0`, ``))
	require.NoError(t, err)
	for _, name := range []string{
		"delivery_id", "commit", "triggered_by", "status", "url", "build_duration_seconds", "image_size_mb", "cache_hit", "container_id",
		"health_check", "error", "version", "previous_version", "rollback", "metadata",
	} {
		got, err := payload.DecodeEvent(replace(t, eventBase, `"x":0`, `"`+name+`":null`))
		require.NoError(t, err, name)
		assert.Equal(t, wantEvent, got, name)
	}
	got, err := payload.DecodeEvent(replace(t, eventBase, `"x":0`, `"commit":{"sha":null,"message":null,"author":null,"branch":null},`+
		`"health_check":{"url":null,"status_code":null,"response_time_ms":null,"attempts":null},`+
		`"rollback":{"reason":null,"restored_version":null,"automatic":null}`))
	require.NoError(t, err)
	wantEvent.Commit, wantEvent.HealthCheck, wantEvent.Rollback = new(payload.Commit), new(payload.HealthCheck), new(payload.Rollback)
	assert.Equal(t, wantEvent, got)

	// Null stays in members that the document only carries.
	d, err := payload.DecodeDeployment(replace(t, recordBase, `"x":0`, `"rawPayload":{"a":null},"x":null`))
	require.NoError(t, err)
	encoded, err := d.Encode()
	require.NoError(t, err)
	assert.Contains(t, string(encoded), `"rawPayload":{"a":null},"x":null`)
}

// A program that sets a link with a blank sends the repaired link.
func TestEncodeRepairsLinks(t *testing.T) {
	t.Parallel()
	d := payload.Deployment{
		DeploymentID: "d", CommitSHA: "a1b2c3d", Environment: "e", Status: payload.StatusInProgress, StartedAt: at(1),
		PipelineURL: "https://user:secret@example.com/My Job/1",
	}
	encoded, err := d.Encode()
	require.NoError(t, err)
	assert.Contains(t, string(encoded), `"pipelineUrl":"https://example.com/My%20Job/1"`)
	assert.NotContains(t, string(encoded), "secret")

	d.PipelineURL = "job/1"
	_, err = d.Encode()
	assert.EqualError(t, err, "Invalid payload: pipelineUrl "+linkRule)
}

// net/url accepts a cleaned link too, with the same host and no user.
func FuzzCleanURL(f *testing.F) {
	seeds.Add(f, 12)
	f.Fuzz(func(t *testing.T, in string) {
		link, ok := payload.CleanURL(in)
		if !ok {
			require.Empty(t, link)
			return
		}
		again, ok := payload.CleanURL(link)
		require.True(t, ok)
		require.Equal(t, link, again)
		require.NotContains(t, link, " ")
		d := payload.Deployment{PipelineURL: link}
		require.NotContains(t, d.Validate().Error(), "pipelineUrl")

		_, rest, _ := strings.Cut(link, "://")
		authority, _, _ := strings.Cut(strings.NewReplacer("?", "/", "#", "/").Replace(rest), "/")
		require.NotEmpty(t, authority)
		require.NotContains(t, authority, "@")
		u, err := url.Parse(link)
		if err != nil {
			// net/url refuses some hosts and escapes that browsers accept
			return
		}
		require.Nil(t, u.User)
		require.Equal(t, authority, u.Host)
	})
}
