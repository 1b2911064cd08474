package snippets

import (
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const root = "../.."

// All Go code in Markdown pages and in package documentation is compiled. A
// block must be in a test, or in a program below examples.
func TestSnippets_AreCompiled(t *testing.T) {
	t.Parallel()
	code, pages := tree(t, root)
	compiled := normalise(code)
	check := func(where, block string) {
		assert.True(t, strings.Contains(compiled, normalise(block)), "%s: this snippet is not in a compiled file:\n%s", where, block)
	}
	for page, text := range pages {
		for i, rest := range strings.Split(text, "```go\n")[1:] {
			block, _, ok := strings.Cut(rest, "```")
			require.True(t, ok, "%s: block %d has no end", page, i+1)
			check(page, block)
		}
	}
	require.GreaterOrEqual(t, strings.Count(pages["README.md"], "```go\n"), 2, "README.md's snippets were not found")

	for _, name := range publicPackages(t) {
		found := packageSnippets(t, filepath.Join(root, name))
		require.NotEmpty(t, found, "package %s opens without a snippet", name)
		for _, block := range found {
			check(name, block)
		}
	}
}

// publicPackages returns the folders of all packages that users import and that
// have a doc.go, without the test suites for implementers.
func publicPackages(t *testing.T) []string {
	var names []string
	for _, pattern := range []string{"*", "*/*", "*/*/*"} {
		found, err := filepath.Glob(filepath.Join(root, pattern, "doc.go"))
		require.NoError(t, err)
		for _, file := range found {
			name, err := filepath.Rel(root, filepath.Dir(file))
			require.NoError(t, err)
			name = filepath.ToSlash(name)
			if !strings.Contains(name, "internal") && !strings.HasPrefix(name, "examples") && !strings.HasSuffix(name, "test") {
				names = append(names, name)
			}
		}
	}
	require.Greater(t, len(names), 20, "the test finds the packages")
	return names
}

// packageSnippets returns the Go code blocks of the package comment, without
// tables and messages.
func packageSnippets(t *testing.T, dir string) []string {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, "doc.go"), nil, parser.ParseComments|parser.PackageClauseOnly)
	require.NoError(t, err)
	var out []string
	var p comment.Parser
	for _, block := range p.Parse(file.Doc.Text()).Content {
		if code, ok := block.(*comment.Code); ok && isGo(code.Text) {
			out = append(out, code.Text)
		}
	}
	return out
}

// isGo reports whether a text parses as statements.
func isGo(text string) bool {
	file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() {\n"+text+"\n}", 0)
	if err != nil {
		return false
	}
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && len(f.Body.List) == 0 {
			return false
		}
	}
	return true
}

// tree returns the text of the other tests and of the examples, and the
// Markdown pages by their paths.
func tree(t *testing.T, dir string) (code string, pages map[string]string) {
	var all strings.Builder
	pages = map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "testdata" || entry.Name() == "node_modules") {
			return fs.SkipDir
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		page := strings.HasSuffix(name, ".md")
		if !page && !isCompiled(name) {
			return nil
		}
		text, err := os.ReadFile(path)
		if page {
			pages[name] = string(text)
		} else {
			all.Write(text)
			all.WriteByte('\n')
		}
		return err
	}))
	return all.String(), pages
}

// isCompiled reports whether a file may have the code of a snippet.
func isCompiled(name string) bool {
	test := strings.HasSuffix(name, "_test.go") && name != "examples/snippets/snippets_test.go"
	return test || strings.HasPrefix(name, "examples/") && strings.HasSuffix(name, ".go")
}

// normalise removes indentation, the only difference between a snippet and its
// compiled copy.
func normalise(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" {
			b.WriteString(line)
			b.WriteByte('\n')
		}
	}
	return b.String()
}
