package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	code, out := r.release("check")
	require.Zero(t, code, out)
	for _, want := range []string{
		"packed " + root + "@v0.1.0 (",
		"packed " + root + "/internal/tool@v0.1.0 (",
		"a module that requires " + root + " alone",
		"a module that requires " + root + "/store alone",
		"go install " + root + "/examples/show/...@v0.1.0",
		"go run examples/hello -version",
		"4 modules can be published as v0.1.0",
	} {
		assert.Contains(t, out, want)
	}
	assert.NotContains(t, out, "alone"+root+"/internal", "outside modules cannot import it")
	assert.Empty(t, r.git("status", "--porcelain"), "the check leaves the tree as it was")
	assert.Empty(t, r.git("tag", "--list"), "the tags are made in the clone only")
}

// Each change creates a tree that cannot be published, or that users cannot
// use.
func TestCheck_Fails(t *testing.T) {
	needFull(t)
	t.Parallel()
	for name, test := range map[string]struct {
		change func(r *repo)
		want   string
	}{
		"a file name that Windows reserves": {
			func(r *repo) { r.write("store/testdata/nul", "x") },
			"packing " + root + "/store: ",
		},
		"names that differ in case only": {
			func(r *repo) { r.write("testdata/a", "x"); r.write("testdata/A", "y") },
			"packing " + root + ": ",
		},
		"a symbolic link": {
			func(r *repo) { require.NoError(r.t, os.Symlink("tree.go", filepath.Join(r.dir, "link.go"))) },
			"link.go: a symbolic link is left out of module zips",
		},
		"a requirement at v0.0.0": {
			func(r *repo) { r.replace("store/go.mod", root+"/internal/tool v0.1.0", root+"/internal/tool v0.0.0") },
			"store/go.mod: requires " + root + "/internal/tool at v0.0.0: the tree is v0.1.0",
		},
		"a requirement that the tree does not have": {
			func(r *repo) { r.replace("store/go.mod", root+"/internal/tool v0.1.0", root+"/internal/gone v0.1.0") },
			"store/go.mod: requires " + root + "/internal/gone: the tree has no such module",
		},
		"a module that go.work does not use": {
			func(r *repo) { r.replace("go.work", "\t./internal/tool\n", "") },
			"internal/tool/go.mod: not listed in go.work",
		},
		"a module that go.work does not replace": {
			func(r *repo) { r.replace("go.work", "\t"+root+"/store v0.1.0 => ./store\n", "") },
			"store/go.mod: not replaced in go.work",
		},
		"a module of go.work that is not committed": {
			func(r *repo) { r.replace("go.work", "\t./store\n", "\t./store\n\t./gone\n") },
			"go.work: use ./gone: no go.mod of that folder is committed",
		},
		"go.work at two versions": {
			func(r *repo) { r.replace("go.work", root+"/store v0.1.0", root+"/store v0.2.0") },
			"go.work: replace " + root + "/store at v0.2.0: other modules are at v0.1.0",
		},
		"a replace directive": {
			func(r *repo) { r.write("store/go.mod", r.read("store/go.mod")+"\nreplace "+root+" => ..\n") },
			"store/go.mod: replace " + root + ": users do not get replacements",
		},
		"a module path that is not its folder's": {
			func(r *repo) { r.replace("examples/show/go.mod", "examples/show", "examples/other") },
			"examples/show/go.mod: module " + root + "/examples/other: the folder makes it " + root + "/examples/show",
		},
		"modules that require each other": {
			func(r *repo) { r.write("internal/tool/go.mod", requiring("internal/tool", root, root+"/store")) },
			"requires this module in turn",
		},
		"sums of our own modules": {
			func(r *repo) { r.write("store/go.sum", root+" v0.1.0/go.mod h1:AAAA\n") },
			"store/go.sum: holds sums of this repository's modules",
		},
		"a root module that is too large": {
			func(r *repo) {
				data := make([]byte, maxRootZip)
				_, _ = rand.Read(data)
				r.write("testdata/data.bin", string(data))
			},
			"and the limit is 1572864; move files to a nested module",
		},
		"an untidy go.mod": {
			func(r *repo) { r.write("examples/show/go.mod", requiring("examples/show", root, root+"/store")) },
			"examples/show/go.mod\n-require " + root + "/store v0.1.0",
		},
		"a public module without a user": {
			func(r *repo) { require.NoError(r.t, os.RemoveAll(filepath.Join(r.dir, usersDir, "store"))) },
			"write " + usersDir + "/store/main.go",
		},
		"a user that fails": {
			func(r *repo) {
				r.write(usersDir+"/store/main.go", "package main\n\nimport \""+root+"/store\"\n\nfunc main() { panic(store.Name()) }\n")
			},
			"a module that requires " + root + "/store alone: ",
		},
		"a user that does not compile": {
			func(r *repo) { r.replace("store/store.go", "func Name", "func Renamed") },
			"undefined: store.Name",
		},
		"a program that does not print its version": {
			func(r *repo) { r.write("examples/hello/main.go", "package main\n\nfunc main() {}\n") },
			"go run examples/hello -version: it does not print the version v0.1.0",
		},
		"what go vet finds": {
			func(r *repo) {
				r.write("store/vet.go", "package store\n\nimport \"fmt\"\n\nfunc init() { fmt.Printf(\"%d\", \"x\") }\n")
			},
			"go vet without the workspace: store: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepo(t)
			test.change(r)
			r.commit()
			code, out := r.release("check")
			assert.Equal(t, 1, code, out)
			assert.Contains(t, out, test.want)
		})
	}
}

// A go.mod file in testdata keeps the test data out of the zip. It is no module
// of the tree.
func TestCheck_LeavesTestdataOut(t *testing.T) {
	needFull(t)
	t.Parallel()
	r := newRepo(t)
	data := make([]byte, maxRootZip)
	_, _ = rand.Read(data)
	r.write("testdata/data.bin", string(data))
	r.write("testdata/go.mod", "module "+root+"/testdata\n")
	r.commit()
	code, out := r.release("check")
	require.Zero(t, code, out)
}

// Changes that are not committed count only with -worktree.
func TestCheck_Worktree(t *testing.T) {
	needFull(t)
	t.Parallel()
	r := newRepo(t)
	r.write("store/testdata/aux.txt", "x")
	code, out := r.release("check")
	assert.Zero(t, code, out)
	assert.Contains(t, out, "HEAD is checked, without the changes that are not committed")
	code, out = r.release("check", "-worktree")
	assert.Equal(t, 1, code, out)
	assert.Contains(t, out, "aux.txt")
	assert.Equal(t, "?? store/testdata/\n", r.git("status", "--porcelain"), "the index is as it was")
}

// All problems of a tree are reported at once.
func TestCheck_ReportsAllProblems(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.replace("store/go.mod", root+" v0.1.0", root+" v0.0.0")
	r.replace("examples/show/go.mod", root+" v0.1.0", root+" v0.0.1")
	r.commit()
	code, out := r.release("check")
	assert.Equal(t, 1, code)
	assert.Equal(t, 2, strings.Count(out, ": the tree is v0.1.0"), out)
}
