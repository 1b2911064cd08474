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

// All Go code in README.md and in package documentation is compiled. A block
// must be in a file of this package or in a test of the documented package.
func TestSnippets_AreCompiled(t *testing.T) {
	t.Parallel()
	compiled := normalise(goFiles(t, root))
	blocks := 0
	check := func(where, block string) {
		blocks++
		assert.True(t, strings.Contains(compiled, normalise(block)), "%s: this snippet is not in a compiled file:\n%s", where, block)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	for _, rest := range strings.Split(string(readme), "```go\n")[1:] {
		block, _, ok := strings.Cut(rest, "```")
		require.True(t, ok)
		check("README.md", block)
	}
	require.GreaterOrEqual(t, blocks, 6, "README.md's snippets were not found")

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

// goFiles returns the text of the tree's other test files.
func goFiles(t *testing.T, dir string) string {
	var all strings.Builder
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") || entry.Name() == "snippets_test.go" {
			return nil
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		all.WriteByte('\n')
		return err
	}))
	return all.String()
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
