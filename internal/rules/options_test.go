package rules

import (
	"go/ast"
	"go/parser"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	// optionName matches the functions that return an option.
	optionName = regexp.MustCompile(`^(With|Without|Insecure|Allow|Deny)[A-Z]`)
	// saysDefault matches how an option's doc says what holds without it.
	saysDefault = regexp.MustCompile(`\bDefault: |\b[Tt]he defaults? (is|are)\b|\bThere is no default\b|\bBy default\b|\bRequired\b`)
)

// eachExported calls check with every exported function and method of the
// packages that users import.
func eachExported(t *testing.T, check func(f *file, decl *ast.FuncDecl, doc string)) {
	t.Helper()
	eachFile(t, parser.ParseComments, func(f *file) {
		if !isPublic(f) {
			return
		}
		for _, decl := range f.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Name.IsExported() && exportedReceiver(fn) {
				check(f, fn, strings.Join(strings.Fields(fn.Doc.Text()), " "))
			}
		}
	})
}

// isPublic reports whether a file is one of a package that users import.
func isPublic(f *file) bool {
	folders := strings.Split(f.name, "/")
	return !strings.HasSuffix(f.name, "_test.go") && !slices.Contains(folders, "internal") && folders[0] != "examples"
}

// Every option says what holds without it. The guides have the rule in
// SIGNING.md.
func TestOptions_SayTheirDefault(t *testing.T) {
	t.Parallel()
	options := 0
	eachExported(t, func(f *file, decl *ast.FuncDecl, doc string) {
		if decl.Recv != nil || !optionName.MatchString(decl.Name.Name) || !returns(decl, "Option") {
			return
		}
		options++
		if !saysDefault.MatchString(doc) {
			t.Errorf("%s:%d: the doc of %s does not say its default, as in \"Default: 5 seconds.\"", f.name, f.line(decl), decl.Name.Name)
		}
	})
	require.Greater(t, options, 100, "the test looks at options")
}

// Close has one signature, and its doc says that it may be called again.
func TestClose_IsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	closers := 0
	eachExported(t, func(f *file, decl *ast.FuncDecl, doc string) {
		if decl.Recv == nil || decl.Name.Name != "Close" {
			return
		}
		closers++
		if decl.Type.Params.NumFields() > 0 || !returns(decl, "error") {
			t.Errorf("%s:%d: want Close() error", f.name, f.line(decl))
		}
		if !strings.Contains(doc, "Closing again, or closing a nil or zero ") {
			t.Errorf("%s:%d: the doc does not say that Close may be called again, and on a nil or zero value", f.name, f.line(decl))
		}
	})
	require.Greater(t, closers, 5, "the test looks at Close methods")
}

// returns reports whether a function has one result, of a type whose name ends
// in name.
func returns(f *ast.FuncDecl, name string) bool {
	if f.Type.Results.NumFields() != 1 {
		return false
	}
	result, ok := f.Type.Results.List[0].Type.(*ast.Ident)
	return ok && strings.HasSuffix(result.Name, name)
}

// exportedReceiver is true for a function without a receiver.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	name, ok := typ.(*ast.Ident)
	return ok && name.IsExported()
}

// An exported interface is sealed by an unexported method, or its doc says that
// it is frozen. Otherwise a further method would break those who implement it.
func TestInterfaces_AreSealedOrFrozen(t *testing.T) {
	t.Parallel()
	interfaces := 0
	eachFile(t, parser.ParseComments, func(f *file) {
		if !isPublic(f) {
			return
		}
		for _, decl := range f.syntax.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range group.Specs {
				typ, ok := spec.(*ast.TypeSpec)
				if !ok || !typ.Name.IsExported() {
					continue
				}
				if methods, ok := typ.Type.(*ast.InterfaceType); ok {
					interfaces++
					if !sealed(methods) && !isForTests(f.name) && !strings.Contains(group.Doc.Text()+typ.Doc.Text(), "The interface is frozen") {
						t.Errorf("%s:%d: %s can be implemented elsewhere, and its doc does not say \"The interface is frozen\"", f.name, f.line(typ), typ.Name)
					}
				}
			}
		}
	})
	require.Greater(t, interfaces, 30, "the test looks at interfaces")
}

// sealed reports whether an interface has an unexported method.
func sealed(methods *ast.InterfaceType) bool {
	return slices.ContainsFunc(methods.Methods.List, func(m *ast.Field) bool {
		return len(m.Names) > 0 && !m.Names[0].IsExported()
	})
}
