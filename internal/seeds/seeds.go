// Package seeds keeps the seeds of a fuzz target in one file. In a module's
// zip, every file costs some hundred bytes in addition to its content, and most
// seeds are shorter than that.
//
// The file of FuzzX is testdata/seeds/FuzzX.txt. It has one value per line, in
// the syntax of Go's own corpus, such as string("a") or []byte("\x00"). A blank
// line ends a seed. A line that starts with # is a comment, and can name the
// seed below it. The line "go test fuzz v1" of Go's own files is ignored, so a
// finding of go test -fuzz can be appended as it is:
//
//	(echo; cat testdata/fuzz/FuzzX/0123456789abcdef) >> testdata/seeds/FuzzX.txt
package seeds

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Seed has the arguments of one call of a fuzz target.
type Seed []any

// Target is what Add needs of a *testing.F.
type Target interface {
	testing.TB
	Add(args ...any)
}

// Add adds the seeds of f's file to f, and then more. The file may be missing.
// Add fails unless there are want seeds in all, so that a lost seed is noticed.
func Add(f Target, want int, more ...Seed) {
	f.Helper()
	file := filepath.Join("testdata", "seeds", f.Name()+".txt")
	all, err := Read(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.Fatal(err)
	}
	all = append(all, more...)
	if len(all) != want || want == 0 {
		f.Fatalf("%s has %d seeds with those of %s, want %d", f.Name(), len(all), file, want)
	}
	for _, seed := range all {
		f.Add(seed...)
	}
}

// Read returns the seeds in a file. An error names the line.
func Read(file string) ([]Seed, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []Seed
	var seed Seed
	for i, line := range strings.Split(string(text)+"\n", "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" && seed != nil:
			all, seed = append(all, seed), nil
		case line == "", line == "go test fuzz v1", line[0] == '#':
		default:
			value, err := parse(line)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
			}
			seed = append(seed, value)
		}
	}
	return all, nil
}

// parse returns the value of a Go conversion such as string("a").
func parse(text string) (any, error) {
	wrong := fmt.Errorf(`want string("…"), []byte("…") or bool(true), not %.80s`, text)
	expr, err := parser.ParseExpr(text)
	if err != nil {
		return nil, wrong
	}
	call, ok := expr.(*ast.CallExpr)
	if !ok || len(call.Args) != 1 {
		return nil, wrong
	}
	name, _, _ := strings.Cut(text, "(")
	switch arg := call.Args[0].(type) {
	case *ast.Ident:
		if value, err := strconv.ParseBool(arg.Name); err == nil && name == "bool" && len(arg.Name) > 1 {
			return value, nil
		}
	case *ast.BasicLit:
		if arg.Kind != token.STRING {
			return nil, wrong
		}
		value, err := strconv.Unquote(arg.Value)
		switch {
		case err != nil:
			return nil, wrong
		case name == "string":
			return value, nil
		case name == "[]byte":
			return []byte(value), nil
		}
	}
	return nil, wrong
}
