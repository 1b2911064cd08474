package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"sort"
	"strings"
)

// chosenEnv is the environment variable that chooses a mutant in a test binary.
const chosenEnv = "DEPLOYHOOK_MUTANT"

// chosenFile is added to the package of a subject.
const chosenFile = "mutant_chosen.go"

func chosenSource(pkg string) string {
	return "package " + pkg + `

import (
	"os"
	"strconv"
)

var mutantChosen, _ = strconv.Atoi(os.Getenv("` + chosenEnv + `"))

func mutantPick[T any](id int, was, is T) T {
	if mutantChosen == id {
		return is
	}
	return was
}
`
}

// edit replaces the bytes from start to end.
type edit struct {
	start, end int
	text       string
}

// apply applies edits that do not overlap. The offsets count from base.
func apply(source string, base int, edits []edit) string {
	sort.SliceStable(edits, func(i, j int) bool { return edits[i].start < edits[j].start })
	var b strings.Builder
	at := 0
	for _, e := range edits {
		b.WriteString(source[at : e.start-base])
		b.WriteString(e.text)
		at = e.end - base
	}
	b.WriteString(source[at:])
	return b.String()
}

// instrumented is a file that contains all of its mutants. Each is a copy of a
// function with one change. The function calls the copy that is chosen. One
// build therefore tries all mutants of a package, except those that change a
// constant or a type outside functions.
type instrumented struct {
	source string
	lines  []span // of the copies
}

type span struct {
	first, last int
	mutant      *mutant
}

// at returns the mutant whose copy includes a line, or nil.
func (f *instrumented) at(line int) *mutant {
	for _, s := range f.lines {
		if s.first <= line && line <= s.last {
			return s.mutant
		}
	}
	return nil
}

// instrument adds the mutants that need no separate binary to a file. The
// lines of the original code keep their numbers.
func instrument(fset *token.FileSet, file *ast.File, source []byte, mutants []*mutant) *instrumented {
	offset := func(p token.Pos) int { return fset.Position(p).Offset }
	edits := picks(source, mutants)
	var copies strings.Builder
	var out instrumented
	line := strings.Count(string(source), "\n") + 1
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		from, to := offset(fn.Pos()), offset(fn.End())
		if fn.Doc != nil {
			from = offset(fn.Type.Func)
		}
		var own []*mutant
		for _, m := range mutants {
			if m.function != "" && from <= m.start && m.end <= to {
				own = append(own, m)
			}
		}
		if len(own) == 0 {
			continue
		}
		signature, call := callOf(fn, offset)
		edits = append(edits, signature...)
		dispatch := "switch mutantChosen {"
		for _, m := range own {
			name := fmt.Sprintf("mutant%d", m.id)
			dispatch += fmt.Sprintf(" case %d: %s;", m.id, strings.ReplaceAll(call, "\x00", name))
			text := "\n" + apply(string(source[from:to]), from, []edit{
				{offset(fn.Name.Pos()), offset(fn.Name.End()), name},
				{m.start, m.end, m.text},
			}) + "\n"
			first := line + 1
			line += strings.Count(text, "\n")
			out.lines = append(out.lines, span{first, line, m})
			copies.WriteString(text)
		}
		body := offset(fn.Body.Lbrace) + 1
		edits = append(edits, edit{body, body, dispatch + "}; "})
	}
	out.source = apply(string(source), 0, edits) + copies.String()
	return &out
}

// picks returns the edits for integers outside functions. An integer has two
// mutants, so that the call for one is inside the call for the other.
func picks(source []byte, mutants []*mutant) []edit {
	var edits []edit
	for _, m := range mutants {
		if m.typ == "" {
			continue
		}
		last := len(edits) - 1
		if last < 0 || edits[last].start != m.start {
			edits = append(edits, edit{m.start, m.end, string(source[m.start:m.end])})
			last++
		}
		edits[last].text = fmt.Sprintf("mutantPick[%s](%d, %s, %s)", m.typ, m.id, edits[last].text, m.text)
	}
	return edits
}

// callOf returns the call of a copy of the function, whose name is \x00, and
// the edits that name its receiver and parameters.
func callOf(fn *ast.FuncDecl, offset func(token.Pos) int) ([]edit, string) {
	var edits []edit
	name := func(field *ast.Field, n int) []string {
		var names []string
		for i, ident := range field.Names {
			if ident.Name == "_" {
				own := fmt.Sprintf("mutantArg%d_%d", n, i)
				edits = append(edits, edit{offset(ident.Pos()), offset(ident.End()), own})
				names = append(names, own)
				continue
			}
			names = append(names, ident.Name)
		}
		if len(field.Names) == 0 {
			own := fmt.Sprintf("mutantArg%d", n)
			at := offset(field.Type.Pos())
			edits = append(edits, edit{at, at, own + " "})
			names = append(names, own)
		}
		return names
	}
	call := "\x00"
	if fn.Recv != nil {
		call = name(fn.Recv.List[0], 0)[0] + "." + call
	}
	if fn.Type.TypeParams != nil {
		var names []string
		for _, field := range fn.Type.TypeParams.List {
			for _, ident := range field.Names {
				names = append(names, ident.Name)
			}
		}
		call += "[" + strings.Join(names, ", ") + "]"
	}
	var args []string
	for i, field := range fn.Type.Params.List {
		names := name(field, i+1)
		if _, variadic := field.Type.(*ast.Ellipsis); variadic {
			names[len(names)-1] += "..."
		}
		args = append(args, names...)
	}
	call += "(" + strings.Join(args, ", ") + ")"
	if fn.Type.Results != nil {
		return edits, "return " + call
	}
	return edits, call + "; return"
}
