package rules

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every exported constructor of a public package is in an example of its
// package, so that its page on pkg.go.dev shows how to call it. A constructor
// is a function whose name begins with New or Open.
func TestConstructorsHaveExamples(t *testing.T) {
	t.Parallel()
	packages, constructors, examples := map[string]string{}, map[string][]string{}, map[string][]*ast.File{}
	eachFile(t, parser.ParseComments, func(f *file) {
		dir := path.Dir(f.name)
		switch {
		case !hasPage(dir) || f.syntax.Name.Name == "main":
		case strings.HasSuffix(f.name, "_test.go"):
			// with the objects, from which go/doc finds what an example needs
			syntax, err := parser.ParseFile(f.set, f.name, f.text, parser.ParseComments)
			require.NoError(t, err)
			examples[dir] = append(examples[dir], syntax)
		default:
			packages[dir] = f.syntax.Name.Name
			constructors[dir] = append(constructors[dir], constructorsOf(f.syntax)...)
		}
	})
	found := 0
	for dir, names := range constructors {
		shown := mentioned(packages[dir], doc.Examples(examples[dir]...))
		for _, name := range append(names, tasks[dir]...) {
			found++
			if !shown[name] {
				t.Errorf("%s: no example calls %s; add an Example function that does, to example_test.go", dir, name)
			}
		}
	}
	require.Greater(t, found, 80, "the test finds the constructors")
	for dir := range tasks {
		require.Contains(t, packages, dir)
	}
}

// tasks are what users do most, with the functions that an example has to show.
var tasks = map[string][]string{
	"signer": {
		"GenerateSecret", "ParseSecret", // make a secret
		"NewStandard", // verify one request
		"WithKey",     // rotate a secret
	},
	"receiver":           {"New", "WithDedupe"},             // receive events
	"payload/github":     {"NewVerifier", "NewDecoder"},     // receive GitHub's deployments
	"dedupe/redisdedupe": {"New"},                           // handle once on Redis
	"dedupe/sqldedupe":   {"NewPostgres"},                   // handle once on PostgreSQL
	"receiver/inbox":     {"OpenSQLite", "NewPostgres"},     // accept now, handle later
	"sender":             {"New", "NewURL"},                 // send one event
	"payload/ci":         {"Detect"},                        // send from CI
	"sender/outbox":      {"OpenSQLite", "WithSealingKeys"}, // publish to customers
}

// hasPage reports whether users import the package of a folder.
func hasPage(dir string) bool {
	return !slices.ContainsFunc(strings.Split(dir, "/"), func(part string) bool {
		return part == "internal" || part == "examples" || part == "testdata"
	})
}

func constructorsOf(f *ast.File) (names []string) {
	for _, decl := range f.Decls {
		d, ok := decl.(*ast.FuncDecl)
		if ok && d.Recv == nil && (strings.HasPrefix(d.Name.Name, "New") || strings.HasPrefix(d.Name.Name, "Open")) {
			names = append(names, d.Name.Name)
		}
	}
	return names
}

// mentioned returns the names that examples select from their package. An
// example also shows the declarations that it needs.
func mentioned(pkg string, examples []*doc.Example) map[string]bool {
	names := map[string]bool{}
	note := func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg {
				names[s.Sel.Name] = true
			}
		}
		return true
	}
	for _, e := range examples {
		ast.Inspect(e.Code, note)
		if e.Play != nil {
			ast.Inspect(e.Play, note)
		}
	}
	return names
}

// The first sentence of a package is in lists of packages, which show no links.
func TestSynopses_HaveNoLinks(t *testing.T) {
	t.Parallel()
	eachFile(t, parser.ParseComments|parser.PackageClauseOnly, func(f *file) {
		if synopsis := new(doc.Package).Synopsis(f.syntax.Doc.Text()); strings.ContainsAny(synopsis, "[]") && hasPage(path.Dir(f.name)) {
			t.Errorf("%s: write the first sentence without brackets: %s", f.name, synopsis)
		}
	})
}
