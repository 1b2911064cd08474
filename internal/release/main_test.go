package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = "github.com/example/tree"

// A repo is a small repository with several modules.
type repo struct {
	t   *testing.T
	dir string
}

// newRepo creates a repository that passes the check. It has a root module with
// a program, a nested module that requires it, an internal module, and an
// example.
func newRepo(t *testing.T) *repo {
	t.Helper()
	r := &repo{t, t.TempDir()}
	r.git("init", "--quiet")
	r.write("go.work", `go 1.26.0

use (
	.
	./examples/show
	./internal/tool
	./store
)

// The next version is the tree.
replace (
	github.com/example/tree v0.1.0 => .
	github.com/example/tree/examples/show v0.1.0 => ./examples/show
	github.com/example/tree/internal/tool v0.1.0 => ./internal/tool
	github.com/example/tree/store v0.1.0 => ./store
)
`)
	r.write("LICENSE", "None.\n")
	r.write("go.mod", "module "+root+"\n\ngo 1.26.0\n")
	r.write("tree.go", "package tree\n\n// Name is a name.\nconst Name = \"tree\"\n")
	r.write("examples/hello/main.go", program("debug.ReadBuildInfo()", `
	fmt.Println(info.Main.Version)`))
	r.write("internal/tool/go.mod", requiring("internal/tool", root))
	r.write("internal/tool/tool.go", "package tool\n\nimport _ \""+root+"\"\n")
	r.write("store/go.mod", requiring("store", root, root+"/internal/tool"))
	r.write("store/store.go", "package store\n\nimport (\n\t\""+root+"\"\n\t_ \""+root+"/internal/tool\"\n)\n\n"+
		"// Name is what is stored.\nfunc Name() string { return tree.Name }\n")
	r.write("examples/show/go.mod", requiring("examples/show", root))
	r.write("examples/show/main.go", "package main\n\nimport \""+root+"\"\n\nfunc main() { println(tree.Name) }\n")
	r.write(usersDir+"/commands.txt", "examples/hello -version\n")
	r.write(usersDir+"/tree/main.go", "package main\n\nimport \""+root+"\"\n\nfunc main() { println(tree.Name) }\n")
	r.write(usersDir+"/store/main.go", "package main\n\nimport \""+root+"/store\"\n\nfunc main() { println(store.Name()) }\n")
	r.commit()
	return r
}

// program returns a main package that reads its build information.
func program(call, body string) string {
	return "package main\n\nimport (\n\t\"fmt\"\n\t\"runtime/debug\"\n)\n\nfunc main() {\n\tinfo, _ := " + call + body + "\n}\n"
}

// requiring returns the go.mod file of a module that requires others of the
// tree.
func requiring(dir string, paths ...string) string {
	text := "module " + root + "/" + dir + "\n\ngo 1.26.0\n"
	for _, p := range paths {
		text += "\nrequire " + p + " v0.1.0\n"
	}
	return text
}

func (r *repo) write(name, text string) {
	r.t.Helper()
	file := filepath.Join(r.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repo) read(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(name)))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// replace replaces old in a file, which must contain it.
func (r *repo) replace(name, old, with string) {
	r.t.Helper()
	text := r.read(name)
	if !strings.Contains(text, old) {
		r.t.Fatalf("%s has no %q", name, old)
	}
	r.write(name, strings.ReplaceAll(text, old, with))
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append(append([]string{}, ident...), args...)...)
	cmd.Dir = r.dir
	cmd.Env = gitEnviron()
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (r *repo) commit() {
	r.t.Helper()
	r.git("add", "--all")
	r.git("commit", "--quiet", "--message=test")
}

// release runs the program in the repository.
func (r *repo) release(args ...string) (code int, output string) {
	r.t.Helper()
	var out bytes.Buffer
	code = run(r.t.Context(), r.dir, args, &out, &out)
	return code, out.String()
}
