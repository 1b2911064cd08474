package ci_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/ci"
)

func requireNoCanary(t testing.TB, run *ci.Run, canary string) {
	t.Helper()
	live := run.Event(payload.DeployLive)
	d := run.Deployment()
	all := fmt.Sprintf("%+v %+v %+v %+v", *run, d, live, live.Commit)
	if at := strings.Index(all, canary); at >= 0 {
		require.FailNow(t, "leaked", "%s: …%s…", run.System, all[max(0, at-100):at+20])
	}
}

var commitForm = regexp.MustCompile(`^(|[0-9a-f]{7,40}|[0-9a-f]{64})$`)

// FuzzDetect sets every variable of one system to a text that contains a URL
// with a token.
func FuzzDetect(f *testing.F) {
	for i := range pushes {
		f.Add(uint(i), "user", "/acme/shop.git", "", `{"pull_request":{"head":{"sha":"`+headSHA+`"}}}`)
	}
	f.Add(uint(0), "", "/x y", "refs/heads/", `{"before":`)
	f.Add(uint(5), "a", ":22/acme", "HEAD ", `[`)
	f.Add(uint(9), "\xff", "\x00", strings.Repeat("0", 40), "")
	f.Fuzz(func(t *testing.T, system uint, user, rest, around, eventText string) {
		const canary = "canary-7f3a"
		if strings.Contains(around+rest+eventText, "canary") {
			t.Skip("the canary may only be in the password")
		}
		base := pushes[system%uint(len(pushes))].vars
		user = url.UserPassword(user, canary).String()
		value := around + " https://" + user + "@host.example.com" + rest
		plain := around + rest
		for name := range base {
			for _, v := range []string{value, plain, value[len(around)+1:]} {
				run := detect(t, ci.Environment{
					Getenv: base.with(vars{name: v, "GITHUB_REF": "refs/pull/1/merge"}).getenv, Files: event(eventText),
				})
				requireNoCanary(t, run, canary)
				require.Regexp(t, commitForm, run.CommitSHA)
				require.NotRegexp(t, `^0+$`, run.CommitSHA)
				require.Regexp(t, commitForm, run.PreviousCommitSHA)
				if u, err := url.Parse(run.PipelineURL); err == nil {
					require.Nil(t, u.User)
				}
				requireValidFields(t, run)
			}
		}
	})
}

// requireValidFields requires that every field that Detect filled in passes
// validation.
func requireValidFields(t *testing.T, run *ci.Run) {
	t.Helper()
	d := run.Deployment()
	err := d.Validate()
	if err == nil {
		return
	}
	for part := range strings.SplitSeq(err.Error(), ";") {
		require.True(t, strings.Contains(part, "is required"), "%s: %v", run.System, err)
	}
	require.True(t, utf8.ValidString(run.Metadata.JSON()))
}
