package rules

import (
	"go/ast"
	"go/parser"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// folder is a package of the repository with its tests.
type folder struct {
	code, tests strings.Builder
	imports     map[string]bool
	functions   map[string]*ast.FuncDecl // exported ones without a receiver
	methods     map[string]bool
}

// folders returns all packages by their folder.
func folders(t *testing.T) map[string]*folder {
	t.Helper()
	all := map[string]*folder{}
	eachFile(t, parser.ParseComments, func(f *file) {
		dir := path.Dir(f.name)
		if all[dir] == nil {
			all[dir] = &folder{imports: map[string]bool{}, functions: map[string]*ast.FuncDecl{}, methods: map[string]bool{}}
		}
		p := all[dir]
		if strings.HasSuffix(f.name, "_test.go") {
			p.tests.WriteString(f.text)
			return
		}
		p.code.WriteString(f.text)
		for _, i := range f.syntax.Imports {
			p.imports[strings.Trim(i.Path.Value, `"`)] = true
		}
		for _, d := range f.syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			switch {
			case !ok || !fn.Name.IsExported():
			case fn.Recv == nil:
				p.functions[fn.Name.Name] = fn
			default:
				p.methods[fn.Name.Name] = true
			}
		}
	})
	return all
}

// need fails with the file that a recipe of CONTRIBUTING.md names.
func need(t *testing.T, have bool, where, what string) {
	t.Helper()
	if !have {
		t.Errorf("%s: %s (see the recipes in .github/CONTRIBUTING.md)", where, what)
	}
}

// needTold fails unless the README links the folder and the changelog names it.
func needTold(t *testing.T, dir string) {
	t.Helper()
	need(t, strings.Contains(read(t, "README.md"), "("+dir+")"), "README.md", "link "+dir+" in the table \"I want to …\"")
	changelog := read(t, "CHANGELOG.md")
	named := strings.Contains(changelog, "`"+dir+"`") || strings.Contains(changelog, "`"+path.Base(dir)+"`")
	need(t, named, "CHANGELOG.md", "tell users about `"+dir+"`")
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(text)
}

func exists(name string) bool {
	_, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(name)))
	return err == nil
}

// needOpened fails unless the package's documentation is in doc.go, where
// examples/snippets checks its code.
func needOpened(t *testing.T, dir string) {
	t.Helper()
	need(t, exists(dir+"/doc.go"), dir+"/doc.go", "describe the package, starting with a snippet that a test file compiles")
}

// TestSourcesAreComplete finds every package that reads another system's
// webhooks, and the parts that a new one may lack.
func TestSourcesAreComplete(t *testing.T) {
	t.Parallel()
	found := 0
	for dir, p := range folders(t) {
		if path.Dir(dir) != "payload" || p.functions["NewVerifier"] == nil && p.functions["NewDecoder"] == nil || dir == "payload/cdevents" {
			continue
		}
		found++
		needOpened(t, dir)
		for _, name := range []string{"NewVerifier", "NewDecoder", "Decode"} {
			need(t, p.functions[name] != nil, dir, "add the function "+name)
		}
		tests := p.tests.String()
		need(t, strings.Contains(tests, "sourcetest.EndToEnd{"), dir, "test the webhook end to end with sourcetest.EndToEnd")
		need(t, strings.Contains(tests, "inboundtest.Fuzz("), dir, "fuzz the decoder by inboundtest.Fuzz")
		need(t, strings.Contains(tests, "func Example"), dir, "add an example")
		deliveries, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(dir), "testdata", "*.json"))
		require.NoError(t, err)
		need(t, len(deliveries) > 0, dir+"/testdata", "commit recorded deliveries of the system")
		needTold(t, dir)
	}
	require.Greater(t, found, 5, "the test finds the packages")
}

// TestFormatsAreComplete finds every package below sender that has a Format.
func TestFormatsAreComplete(t *testing.T) {
	t.Parallel()
	found := 0
	for dir, p := range folders(t) {
		if path.Dir(dir) != "sender" || !p.methods["Encode"] {
			continue
		}
		found++
		needOpened(t, dir)
		tests := p.tests.String()
		need(t, p.functions["New"] != nil, dir, "add the constructor New")
		need(t, strings.Contains(tests, "formattest.Golden("), dir, "compare the format with golden files by formattest.Golden")
		need(t, strings.Contains(tests, "formattest.Seeds("), dir, "keep the hostile texts as seeds by formattest.Seeds")
		need(t, strings.Contains(tests, "func FuzzEncode("), dir, "add the fuzz target FuzzEncode")
		need(t, strings.Contains(tests, "func Example"), dir, "add an example")
		needTold(t, dir)
	}
	require.Greater(t, found, 3, "the test finds the packages")
}

// TestStoresAreComplete finds every package below dedupe that has a Store.
func TestStoresAreComplete(t *testing.T) {
	t.Parallel()
	found := 0
	for dir, p := range folders(t) {
		if !strings.HasPrefix(dir, "dedupe/") || dir == "dedupe/dedupetest" || !p.methods["Claim"] {
			continue
		}
		found++
		needOpened(t, dir)
		tests := p.tests.String()
		need(t, strings.Contains(tests, "dedupetest.Run("), dir, "run the conformance suite dedupetest.Run against the store")
		need(t, strings.Contains(tests, "func Benchmark"), dir, "measure claim and complete next to a floor")
		need(t, strings.Contains(tests, "func Example"), dir, "add an example")
		need(t, exists(dir+"/go.mod"), dir+"/go.mod", "make it a module, because it brings a driver")
		need(t, exists("internal/release/testdata/users/"+dir+"/main.go"), "internal/release/testdata/users/"+dir+"/main.go", "write the program of an outside user")
		needTold(t, dir)
		need(t, strings.Contains(read(t, "ARCHITECTURE.md"), "`"+dir+"`"), "ARCHITECTURE.md", "add "+dir+" to the table of what a module costs")
		need(t, strings.Contains(read(t, "go.work"), "\t./"+dir+"\n"), "go.work", "use ./"+dir)
		need(t, strings.Contains(read(t, "go.work"), "=> ./"+dir+"\n"), "go.work", "add a line for ./"+dir+" under replace")
	}
	require.Greater(t, found, 1, "the test finds the packages")
}

// TestSchedulesAreComplete finds every schedule of package sender, which is an
// exported function without parameters that returns a backoff.BackOff.
func TestSchedulesAreComplete(t *testing.T) {
	t.Parallel()
	p, page, found := folders(t)["sender"], read(t, "examples/guides/pages/SENDING.md"), 0
	outbox := read(t, "sender/outbox/options.go")
	for name, fn := range p.functions {
		if len(fn.Type.Params.List) > 0 || fn.Type.Results == nil || !isBackOff(fn.Type.Results.List[0].Type) {
			continue
		}
		found++
		need(t, strings.Contains(p.tests.String(), "sender."+name+","), "sender/schedule_test.go", "add "+name+" to TestSchedules, with its shortest and longest waits")
		need(t, strings.Contains(page, "sender."+name) || name == "Once", "examples/guides/pages/SENDING.md", "add sender."+name+" to the table of schedules")
		need(t, strings.Contains(outbox, "sender."+name) || name == "Pipeline", "sender/outbox/options.go", "register sender."+name+" under a name")
	}
	require.Greater(t, found, 3, "the test finds the schedules")
}

func isBackOff(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "BackOff"
}
