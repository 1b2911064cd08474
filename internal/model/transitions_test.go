package model_test

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEveryTransitionNamesItsCode checks that each step of a model names the
// functions that implement it, and that these exist.
func TestEveryTransitionNamesItsCode(t *testing.T) {
	t.Parallel()
	models, err := filepath.Glob("*.pml")
	require.NoError(t, err)
	require.NotEmpty(t, models)
	known := map[string]map[string]bool{}
	for _, model := range models {
		for transition, named := range transitions(t, model) {
			assert.NotEmpty(t, named, "%s: %s names no function; write \"Go: FILE FUNCTION\" above it", model, transition)
			for _, n := range named {
				file, function, _ := strings.Cut(n, " ")
				if known[file] == nil {
					known[file] = functions(t, filepath.Join("..", "..", filepath.FromSlash(file)))
				}
				assert.True(t, known[file][function], "%s: %s names %s, which %s does not have", model, transition, function, file)
			}
		}
	}
}

// transitions returns what each inline of a model names in the comment above
// it.
func transitions(t *testing.T, model string) map[string][]string {
	t.Helper()
	file, err := os.Open(model)
	require.NoError(t, err)
	defer file.Close()
	found := map[string][]string{}
	var named []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		switch _, function, names := strings.Cut(line, "Go: "); {
		case names:
			named = append(named, strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(function), "*/")))
		case strings.HasPrefix(line, "inline "):
			name, _, _ := strings.Cut(strings.TrimPrefix(line, "inline "), "(")
			found[name] = named
			named = nil
		}
	}
	require.NotEmpty(t, found, model)
	return found
}

// functions returns the functions and methods of a Go file, as name and
// Type.name.
func functions(t *testing.T, path string) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	found := map[string]bool{}
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := fn.Name.Name
		if fn.Recv != nil {
			receiver := fn.Recv.List[0].Type
			if star, ok := receiver.(*ast.StarExpr); ok {
				receiver = star.X
			}
			name = fmt.Sprintf("%v.%s", receiver, name)
		}
		found[name] = true
	}
	return found
}
