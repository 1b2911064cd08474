// Package rules has no code. Its tests hold the files of all modules of this
// repository to rules that no linter has.
package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// file is a Go file of the repository.
type file struct {
	name   string // from the root, with slashes
	text   string
	set    *token.FileSet
	syntax *ast.File
}

// parse reads a file from its text.
func parse(t *testing.T, name, text string, mode parser.Mode) *file {
	t.Helper()
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, name, text, mode|parser.SkipObjectResolution)
	require.NoError(t, err)
	return &file{name, text, set, syntax}
}

// eachFile calls check with every Go file of every module.
func eachFile(t *testing.T, mode parser.Mode, check func(f *file)) {
	t.Helper()
	root := filepath.Join("..", "..")
	files := 0
	require.NoError(t, filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".") && name != root):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		relative, err := filepath.Rel(root, name)
		require.NoError(t, err)
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		files++
		check(parse(t, filepath.ToSlash(relative), string(text), mode))
		return nil
	}))
	require.Greater(t, files, 600, "the test looks at the repository")
}

// line returns the number of the line on which a node begins.
func (f *file) line(n ast.Node) int { return f.set.Position(n.Pos()).Line }
