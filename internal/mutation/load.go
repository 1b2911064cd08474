package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// code is the package of a subject with its mutants.
type code struct {
	root    string // of the workspace
	subject subject
	pkg     *packages.Package
	files   []*ast.File
	names   []string          // of the files, below the root
	sources map[string][]byte // by name
	mutants []*mutant
}

// load reads the package of a subject and finds its mutants.
func load(ctx context.Context, root string, s subject) (*code, error) {
	loaded, err := packages.Load(&packages.Config{
		Context: ctx, Dir: root, Fset: token.NewFileSet(),
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedSyntax |
			packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports,
	}, "./"+s.dir)
	if err != nil {
		return nil, err
	}
	if len(loaded) != 1 || len(loaded[0].Errors) > 0 {
		return nil, fmt.Errorf("%s: %v", s.dir, loaded[0].Errors)
	}
	c := &code{root: root, subject: s, pkg: loaded[0], files: loaded[0].Syntax, sources: map[string][]byte{}}
	for i, path := range c.pkg.CompiledGoFiles {
		name, err := filepath.Rel(root, path)
		if err != nil {
			return nil, err
		}
		name = filepath.ToSlash(name)
		c.names = append(c.names, name)
		if c.sources[name], err = os.ReadFile(path); err != nil {
			return nil, err
		}
		if s.has(name) {
			c.mutants = append(c.mutants, find(c.pkg.Fset, c.pkg.TypesInfo, c.files[i], c.sources[name], name)...)
		}
	}
	number(c.mutants)
	return c, c.dropInvalid()
}

// dropInvalid removes the mutants that do not compile. One that needs a binary
// of its own is kept. The build of its binary shows whether it compiles.
func (c *code) dropInvalid() error {
	for {
		files := c.instrument()
		invalid, err := c.check(files)
		if err != nil {
			return err
		}
		if len(invalid) == 0 {
			return nil
		}
		c.mutants = slices.DeleteFunc(c.mutants, func(m *mutant) bool { return invalid[m] })
	}
}

// instrument returns the files with the mutants of the common binary, by name.
func (c *code) instrument() map[string]*instrumented {
	files := map[string]*instrumented{}
	for i, name := range c.names {
		own := slices.Clone(c.mutants)
		own = slices.DeleteFunc(own, func(m *mutant) bool { return m.file != name || m.alone() })
		if len(own) > 0 {
			files[name] = instrument(c.pkg.Fset, c.files[i], c.sources[name], own)
		}
	}
	return files
}

// check returns the mutants that have type errors.
func (c *code) check(files map[string]*instrumented) (map[*mutant]bool, error) {
	fset := token.NewFileSet()
	chosen, err := parser.ParseFile(fset, chosenFile, "package "+c.pkg.Name+"\nvar mutantChosen int\nfunc mutantPick[T any](int, T, T) (t T) { return }\n", 0)
	if err != nil {
		return nil, err
	}
	parsed := []*ast.File{chosen}
	for _, name := range c.names {
		source := string(c.sources[name])
		if f := files[name]; f != nil {
			source = f.source
		}
		file, err := parser.ParseFile(fset, name, source, 0)
		if err != nil {
			return nil, fmt.Errorf("a mutant is no Go: %w", err)
		}
		parsed = append(parsed, file)
	}
	invalid := map[*mutant]bool{}
	var other error
	config := types.Config{Importer: newImporter(c.pkg.Types), Error: func(err error) {
		var e types.Error
		if !errors.As(err, &e) {
			other = err
			return
		}
		at := fset.Position(e.Pos)
		if f := files[at.Filename]; f != nil && f.at(at.Line) != nil {
			invalid[f.at(at.Line)] = true
		} else if !strings.HasPrefix(e.Msg, "\t") { // a tab continues the error before
			other = err
		}
	}}
	_, _ = config.Check(c.pkg.PkgPath, fset, parsed, nil) // Error gets all of its errors
	return invalid, other
}

// importer finds the packages that the subject's package imports.
type importer map[string]*types.Package

func newImporter(p *types.Package) importer {
	found := importer{"unsafe": types.Unsafe}
	for _, imported := range p.Imports() {
		found[imported.Path()] = imported
	}
	return found
}

func (i importer) Import(path string) (*types.Package, error) {
	if p := i[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("no package %s", path)
}
