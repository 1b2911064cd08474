package callbacktest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// modulePath begins the import path of every package of the tree.
const modulePath = "github.com/deployhook/deployhook/"

// foreign tells which types of other modules may hold code of the application.
// A scan fails if it finds a type that is not listed here.
var foreign = map[string]bool{
	"log/slog.Logger": true, "net.Resolver": true, "net/http.Handler": true, "net/http.RoundTripper": true, "io.Reader": true, "io.Writer": true,
	"go.opentelemetry.io/otel/metric.MeterProvider": true, "go.opentelemetry.io/otel/trace.TracerProvider": true,
	"go.opentelemetry.io/otel/propagation.TextMapPropagator": true, "go.opentelemetry.io/otel/attribute.KeyValue": false,
	"context.Context": false, "crypto/x509.CertPool": false, "crypto/tls.Certificate": false, "net/url.URL": false, "net/netip.Prefix": false, "time.Duration": false, "time.Time": false,
}

// Options returns the exported functions of the package in dir whose names
// begin with With and that take a callback. A callback is a function, an
// interface, or a type that holds one. Options skips test files.
func Options(dir string) ([]string, error) {
	root, err := findRoot(dir)
	if err != nil {
		return nil, err
	}
	p, err := parse(root, dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range p.files {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "With") {
				continue
			}
			for _, param := range f.Type.Params.List {
				callback, err := p.isCallback(file, param.Type)
				if err != nil {
					return nil, fmt.Errorf("%s: %s: %w", dir, f.Name.Name, err)
				}
				if callback && !slices.Contains(names, f.Name.Name) {
					names = append(names, f.Name.Name)
				}
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

func findRoot(dir string) (string, error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(at, "go.work")); err == nil {
			return at, nil
		}
		up := filepath.Dir(at)
		if up == at {
			return "", fmt.Errorf("callbacktest: no go.work above %s", dir)
		}
		at = up
	}
}

// source holds the files of one package.
type source struct {
	root  string
	files []*ast.File
}

func parse(root, dir string) (*source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	p := &source{root: root}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, file)
	}
	return p, nil
}

func (p *source) isCallback(file *ast.File, expr ast.Expr) (bool, error) {
	switch t := expr.(type) {
	case *ast.FuncType, *ast.InterfaceType:
		return isOpen(t), nil
	case *ast.StarExpr:
		return p.isCallback(file, t.X)
	case *ast.ArrayType:
		return p.isCallback(file, t.Elt)
	case *ast.Ellipsis:
		return p.isCallback(file, t.Elt)
	case *ast.MapType:
		return p.isCallback(file, t.Value)
	case *ast.Ident:
		return t.Name == "any" || p.declares(t.Name), nil
	case *ast.SelectorExpr:
		return p.isForeign(file, t)
	}
	return false, fmt.Errorf("callbacktest: cannot tell whether a %T is a callback", expr)
}

// declares reports whether the package declares a function or interface type of
// that name.
func (p *source) declares(name string) bool {
	for _, file := range p.files {
		for _, decl := range file.Decls {
			types, ok := decl.(*ast.GenDecl)
			if !ok || types.Tok != token.TYPE {
				continue
			}
			for _, spec := range types.Specs {
				t := spec.(*ast.TypeSpec)
				if t.Name.Name == name {
					return isOpen(t.Type)
				}
			}
		}
	}
	return false
}

// isOpen reports whether an application can implement the type. It cannot
// implement an interface with an unexported method.
func isOpen(t ast.Expr) bool {
	switch t := t.(type) {
	case *ast.FuncType:
		return true
	case *ast.InterfaceType:
		for _, method := range t.Methods.List {
			for _, name := range method.Names {
				if !name.IsExported() {
					return false
				}
			}
		}
		return true
	}
	return false
}

// isForeign reports whether a type of another package is a callback.
func (p *source) isForeign(file *ast.File, t *ast.SelectorExpr) (bool, error) {
	path, err := importPath(file, t.X.(*ast.Ident).Name)
	if err != nil {
		return false, err
	}
	if rest, ours := strings.CutPrefix(path, modulePath); ours {
		other, err := parse(p.root, filepath.Join(p.root, filepath.FromSlash(rest)))
		if err != nil {
			return false, err
		}
		return other.declares(t.Sel.Name), nil
	}
	name := path + "." + t.Sel.Name
	callback, known := foreign[name]
	if !known {
		return false, fmt.Errorf("callbacktest: cannot tell whether %s is a callback; add it to the table foreign", name)
	}
	return callback, nil
}

func importPath(file *ast.File, name string) (string, error) {
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		last := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil && spec.Name.Name == name || spec.Name == nil && last == name {
			return path, nil
		}
	}
	return "", fmt.Errorf("callbacktest: no import is named %s", name)
}

// Packages returns the directories below root whose packages have callback
// options.
func Packages(root string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); dir != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
			return fs.SkipDir
		}
		names, err := Options(dir)
		if len(names) > 0 {
			dirs = append(dirs, dir)
		}
		return err
	})
	if err == nil && len(dirs) == 0 {
		err = errors.New("callbacktest: no package has a callback option")
	}
	return dirs, err
}
