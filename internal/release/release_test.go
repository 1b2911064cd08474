package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// full turns on what takes a minute of processor time. The tools are fetched
// from a module proxy and compiled. The gate sets the flag.
var full = flag.Bool("release.full", false, "also test with govulncheck and apidiff, and more trees")

func needFull(t *testing.T) {
	t.Helper()
	if !*full {
		t.Skip("without -release.full")
	}
}

const tagsInOrder = "v0.2.0\nexamples/show/v0.2.0\ninternal/tool/v0.2.0\nstore/v0.2.0\n"

func TestPrepare(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	code, out := r.release("prepare", "v0.2.0")
	require.Zero(t, code, out)
	assert.Contains(t, out, "4 modules can be published as v0.2.0")
	assert.Contains(t, out, "there is no tag yet")
	assert.True(t, strings.HasSuffix(out, "in this order:\n"+tagsInOrder), out)
	for _, name := range []string{"store/go.mod", "internal/tool/go.mod", "examples/show/go.mod", "go.work"} {
		assert.Contains(t, r.read(name), " v0.2.0", name)
		assert.NotContains(t, r.read(name), "v0.1.0", name)
	}
	assert.Contains(t, r.read("go.work"), "// The next version is the tree.", "comments stay")
	assert.Equal(t, 4, strings.Count(r.git("status", "--porcelain"), "\n"), "go.mod files and go.work, no go.sum")
	r.commit()

	code, out = r.release("tags")
	assert.Zero(t, code, out)
	assert.Equal(t, tagsInOrder, out)
	r.git("tag", "store/v0.2.0")
	code, out = r.release("tags")
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "the tag store/v0.2.0 exists")
}

func TestPrepare_RefusesVersions(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	for _, version := range []string{"0.2.0", "v0.2", "v0.2.0+meta", "latest"} {
		code, out := r.release("prepare", version)
		assert.Equal(t, 2, code, out)
	}
	assert.Empty(t, r.git("status", "--porcelain"))
}

// A change in one module's requirements reaches the modules that require it.
func TestTidy(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.write("internal/tool/tool.go", "package tool\n")
	r.write("store/go.sum", root+" v0.1.0/go.mod h1:AAAA\n")
	code, out := r.release("tidy")
	require.Zero(t, code, out)
	assert.NotContains(t, r.read("internal/tool/go.mod"), "require")
	assert.NotContains(t, r.read("store/go.sum"), root)
	r.commit()
	code, out = r.release("check")
	assert.Zero(t, code, out)
}

func TestAPI(t *testing.T) {
	needFull(t)
	t.Parallel()
	r := newRepo(t)
	r.git("tag", "v0.1.0")
	r.write("store/store.go", "package store\n\n// Name is what is stored.\nfunc Name() int { return 1 }\n")
	r.write("store/go.mod", requiring("store"))
	r.write(usersDir+"/store/main.go", "package main\n\nimport \""+root+"/store\"\n\nfunc main() { println(store.Name()) }\n")
	r.commit()
	code, out := r.release("api")
	require.Zero(t, code, out)
	assert.Contains(t, out, "API changes since v0.1.0:")
	assert.Contains(t, out, root+"\n    no changes")
	assert.Contains(t, out, "Name: changed from func() string to func() int")
}

func TestVuln_Unreachable(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	nowhere := fileURL(filepath.Join(t.TempDir(), "none"))
	code, out := r.release("vuln", "-db", nowhere)
	assert.Equal(t, 1, code, "nothing was checked, so nothing passes")
	assert.Contains(t, out, "can't be reached, so nothing was checked")
	code, out = r.release("vuln", "-db", nowhere, "-allow-unreachable")
	assert.Zero(t, code)
	assert.Contains(t, out, "SKIPPED the vulnerability check: the database can't be reached: ")
}

// vulnDB returns a database with one vulnerability of the root module's
// releases.
func vulnDB(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const modified = `"modified":"2026-01-02T03:04:05Z"`
	for name, text := range map[string]string{
		"index/db.json":      `{` + modified + `}`,
		"index/modules.json": `[{"path":"` + root + `","vulns":[{"id":"GO-2026-0001",` + modified + `}]}]`,
		"index/vulns.json":   `[{"id":"GO-2026-0001",` + modified + `}]`,
		"ID/GO-2026-0001.json": `{"schema_version":"1.3.1","id":"GO-2026-0001",` + modified + `,"published":"2026-01-02T03:04:05Z",
			"summary":"a test","database_specific":{"url":"https://pkg.go.dev/vuln/GO-2026-0001"},"details":"a test","affected":[{"package":{"name":"` + root + `","ecosystem":"Go"},
			"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],
			"ecosystem_specific":{"imports":[{"path":"` + root + `","symbols":["Vulnerable"]}]}}]}`,
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	return fileURL(dir)
}

func TestVuln_Finding(t *testing.T) {
	needFull(t)
	t.Parallel()
	r := newRepo(t)
	db := vulnDB(t)
	code, out := r.release("vuln", "-db", db, "-allow-unreachable")
	require.Zero(t, code, out)
	assert.Contains(t, out, "ok     "+root+"/store")

	r.write("tree.go", "package tree\n\n// Name is a name.\nvar Name = Vulnerable()\n\n// Vulnerable is.\nfunc Vulnerable() string { return \"tree\" }\n")
	r.commit()
	code, out = r.release("vuln", "-db", db, "-allow-unreachable")
	assert.Equal(t, 1, code, "a finding fails, whatever is allowed")
	assert.Contains(t, out, "GO-2026-0001")
	assert.Contains(t, out, "store: ")
}

func TestUsage(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	for _, args := range [][]string{{}, {"chek"}, {"check", "more"}, {"check", "-flag"}, {"prepare"}} {
		code, out := r.release(args...)
		assert.Equal(t, 2, code, args)
		assert.Contains(t, out, "usage: go run ./internal/release COMMAND", args)
	}
	code, _ := r.release("check", "-h")
	assert.Zero(t, code)
}
