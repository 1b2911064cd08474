package ci_test

import (
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"

	"github.com/deployhook/deployhook/payload/ci"
)

// A token in any variable's URL, in any form, appears nowhere in the result.
// Variables that hold tokens are not read.
func TestCredentials(t *testing.T) {
	t.Parallel()
	const canary = "canary-7f3a"
	forms := []string{
		"https://user:" + canary + "@host.example.com/acme/shop.git", "https://" + canary + "@host.example.com/acme/shop",
		"ssh://git:" + canary + "@host.example.com:22/acme/shop.git", "git:" + canary + "@host.example.com:acme/shop.git",
		"https://user:" + canary + "/with/slash@host.example.com/acme/shop", "see https://u:" + canary + "@host.example.com/x, and so on",
	}
	for _, c := range pushes {
		asked := map[string]bool{}
		detect(t, ci.Environment{Getenv: func(name string) string { asked[name] = true; return c.vars[name] }})
		for name := range asked {
			assert.NotContains(t, strings.ToUpper(name), "TOKEN")
			assert.NotContains(t, strings.ToUpper(name), "PASSW")
			assert.NotContains(t, strings.ToUpper(name), "SECRET")
		}
		for name := range maps.Keys(asked) {
			for _, form := range forms {
				requireNoCanary(t, detectVars(t, c.vars.with(vars{name: form})), canary)
			}
		}
		requireNoCanary(t, detectVars(t, c.vars), canary)
	}
	for _, form := range forms[:5] {
		run := detectVars(t, netlify.with(vars{"REPOSITORY_URL": form}))
		assert.Equal(t, "acme/shop", run.Repository, form)
	}
}

func TestNothingElseIsRead(t *testing.T) {
	t.Setenv("GITHUB_ACTIONS", "true")
	t.Setenv("GITHUB_SHA", sha)
	assert.Equal(t, &ci.Run{Missing: detectVars(t, vars{}).Missing}, detectVars(t, vars{}))
	// Detect opens only the file that a variable points to.
	files := &recordingFS{FS: event(`{}`)}
	detect(t, ci.Environment{Getenv: github.getenv, Files: files})
	assert.Equal(t, []string{eventPath[1:]}, slices.Compact(files.opened))
	files = &recordingFS{FS: event(`{}`)}
	detect(t, ci.Environment{Getenv: gitlab.getenv, Files: files})
	assert.Empty(t, files.opened)
}

type recordingFS struct {
	fs.FS
	opened []string
}

func (f *recordingFS) Open(name string) (fs.File, error) {
	f.opened = append(f.opened, name)
	return f.FS.Open(name)
}

// endlessFS has one file that reports a small size and never ends.
type endlessFS struct {
	fstest.MapFS
	read *int
}

func (f endlessFS) Open(name string) (fs.File, error) {
	file, err := f.MapFS.Open(name)
	return endlessFile{file, f.read}, err
}

type endlessFile struct {
	fs.File
	read *int
}

func (f endlessFile) Read(p []byte) (int, error) {
	if *f.read += len(p); *f.read > 64<<20 {
		return 0, io.EOF
	}
	return len(p), nil
}

func TestFilesAreBounded(t *testing.T) {
	t.Parallel()
	read := 0
	files := endlessFS{fstest.MapFS{eventPath[1:]: {Data: []byte("{}")}}, &read}
	run := detect(t, ci.Environment{Getenv: githubPull.getenv, Files: files})
	assert.Contains(t, problem(run, "commitSha").Reason, "is too large")
	assert.Less(t, read, 16<<20)
}
