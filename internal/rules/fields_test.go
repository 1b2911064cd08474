package rules

import (
	"go/ast"
	"go/parser"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// saysZero matches how a comment says what a field means that is not set.
var saysZero = regexp.MustCompile(`(?i)\b(zero|empty|nil|none|defaults?|required|absent)\b`)

// passedOn are structs that a caller gets from a function and gives to another.
var passedOn = []string{
	"dedupe.Claim", "payload.Failure", "receiver/deployments.Position", "receiver/deployments.Record",
	"receiver/deployments.RepositoryCommit", "receiver/deployments.Run", "receiver/deployments/dora.Report",
}

// fieldsOfType has the fields of a struct and the comment of the struct.
type fieldsOfType struct {
	file   *file
	fields *ast.FieldList
	doc    string
}

// typesIn returns the types in parameters or in a type, as in
// "sender/outbox.Page". Of a function they are those of its results, because
// the caller's function returns them.
func typesIn(f *file, node ast.Node) (all []string) {
	imports := map[string]string{}
	for _, spec := range f.syntax.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		imports[path.Base(name)] = strings.TrimPrefix(name, module)
	}
	ast.Inspect(node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncType:
			if n.Results != nil {
				all = append(all, typesIn(f, n.Results)...)
			}
			return false
		case *ast.SelectorExpr:
			all = append(all, imports[n.X.(*ast.Ident).Name]+"."+n.Sel.Name)
			return false
		case *ast.Ident:
			all = append(all, path.Dir(f.name)+"."+n.Name)
		}
		return true
	})
	return all
}

// publicTypes returns the fields of the exported structs of public packages,
// and the results of their function types.
func publicTypes(t *testing.T) map[string]fieldsOfType {
	t.Helper()
	types, group := map[string]fieldsOfType{}, ""
	eachFile(t, parser.ParseComments, func(f *file) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GenDecl:
				group = n.Doc.Text()
			case *ast.TypeSpec:
				name := path.Dir(f.name) + "." + n.Name.Name
				if typ, ok := n.Type.(*ast.StructType); ok && n.Name.IsExported() {
					types[name] = fieldsOfType{f, typ.Fields, group + n.Doc.Text()}
				} else if typ, ok := n.Type.(*ast.FuncType); ok && n.Name.IsExported() && typ.Results != nil {
					types[name] = fieldsOfType{f, typ.Results, ""}
				}
			}
			return isPublic(f)
		})
	})
	return types
}

// A caller fills in the structs that are parameters of functions, and those in
// their fields. The comment of each field, or that of the struct, says what
// zero means. A bool needs no word, because false is the opposite of what its
// comment says.
func TestFields_SayWhatZeroMeans(t *testing.T) {
	t.Parallel()
	types, filled, fields := publicTypes(t), []string{}, 0
	eachExported(t, func(f *file, decl *ast.FuncDecl, _ string) { filled = append(filled, typesIn(f, decl.Type.Params)...) })
	for len(filled) > 0 {
		name := filled[0]
		s, ok := types[name]
		filled = filled[1:]
		if !ok || slices.Contains(passedOn, name) {
			continue
		}
		delete(types, name) // each is checked once
		for _, field := range s.fields.List {
			if len(field.Names) > 0 && !field.Names[0].IsExported() {
				continue
			}
			filled = append(filled, typesIn(s.file, field.Type)...)
			if typ, ok := field.Type.(*ast.Ident); len(field.Names) == 0 || ok && typ.Name == "bool" {
				continue
			}
			fields++
			if !saysZero.MatchString(s.doc + field.Doc.Text() + field.Comment.Text()) {
				t.Errorf("%s:%d: no comment says what zero means in %s.%s, as in \"Zero means 50.\" or \"Required.\"",
					s.file.name, s.file.line(field), name, field.Names[0].Name)
			}
		}
	}
	require.Greater(t, fields, 200, "the test looks at fields")
}
