package rules

import (
	"go/ast"
	"go/parser"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A reader must be told why a test is skipped or waits for the real time, and
// why library code panics, drops a result or turns a linter off. The reason is
// on the same line or in a comment just above it.
func TestReasonsAreGiven(t *testing.T) {
	t.Parallel()
	eachFile(t, parser.ParseComments, func(f *file) {
		for _, wrong := range withoutReason(f) {
			t.Errorf("%s:%d: %s", f.name, wrong.line, wrong.text)
		}
	})
}

type finding struct {
	line int
	text string
}

// reasons looks at one file.
type reasons struct {
	*file
	commented map[int]bool // the lines that end with a comment, or follow one
	bubbles   []ast.Node   // the functions that synctest.Test runs
	found     []finding
}

func withoutReason(f *file) []finding {
	r := &reasons{file: f, commented: map[int]bool{}}
	for _, group := range f.syntax.Comments {
		for _, c := range group.List {
			line := r.line(c)
			r.commented[line] = true
			r.commented[line+1] = r.commented[line+1] || r.alone(c)
			r.linter(c)
		}
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			r.call(n)
		case *ast.AssignStmt:
			r.assignment(n)
		}
		return true
	})
	return r.found
}

// alone reports whether a comment has a line of its own.
func (r *reasons) alone(c *ast.Comment) bool {
	at := r.set.Position(c.Pos())
	return strings.TrimSpace(r.text[at.Offset-at.Column+1:at.Offset]) == ""
}

func (r *reasons) report(n ast.Node, text string) {
	r.found = append(r.found, finding{r.line(n), text})
}

// linter checks a comment that turns a linter off. The linter's name is its
// first word, and the reason comes after it.
func (r *reasons) linter(c *ast.Comment) {
	for _, word := range []string{"//nolint", "//lint:ignore", "//lint:file-ignore", "//revive:disable"} {
		if rest, ok := strings.CutPrefix(c.Text, word); ok && len(strings.Fields(rest)) < 3 {
			r.report(c, "say after "+word+" why")
		}
	}
}

func (r *reasons) call(call *ast.CallExpr) {
	explained := r.commented[r.line(call)]
	switch name := nameOf(call.Fun); {
	case name == "synctest.Test" && len(call.Args) == 2:
		r.bubbles = append(r.bubbles, call.Args[1])
	case name == "panic" && !explained && !isForTests(r.name):
		r.report(call, "say on the line why this panics")
	case name == "time.Sleep" && !explained && !r.inBubble(call):
		r.report(call, "wait for an event, use testing/synctest, or say on the line why this sleeps")
	case skips(name) && len(call.Args) == 0:
		r.report(call, "give the reason for which the test is skipped")
	}
}

// assignment checks a statement that drops all results of a call, the error
// among them.
func (r *reasons) assignment(a *ast.AssignStmt) {
	if _, ok := a.Rhs[0].(*ast.CallExpr); !ok || r.commented[r.line(a)] || isForTests(r.name) {
		return
	}
	for _, left := range a.Lhs {
		if name, ok := left.(*ast.Ident); !ok || name.Name != "_" {
			return
		}
	}
	r.report(a, "say on the line why the results are dropped")
}

// skips reports whether a method is one of those that skip a test.
func skips(name string) bool {
	receiver, method, _ := strings.Cut(name, ".")
	return (receiver == "t" || receiver == "b") && (method == "Skip" || method == "SkipNow")
}

// inBubble reports whether a call is in the body of a function that
// synctest.Test runs, where the time is not the real one.
func (r *reasons) inBubble(n ast.Node) bool {
	for _, b := range r.bubbles {
		if b.Pos() <= n.Pos() && n.End() <= b.End() {
			return true
		}
	}
	return false
}

// nameOf returns the name of what is called, such as "time.Sleep".
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok {
			return x.Name + "." + e.Sel.Name
		}
	}
	return ""
}

func TestWithoutReason(t *testing.T) {
	t.Parallel()
	for line, found := range map[string]bool{
		`panic("x")`:                            true,
		`panic("x") // as net/http does`:        false,
		"// as net/http does\npanic(\"x\")":     false,
		"f() // fails\npanic(\"x\")":            true,
		`_ = f()`:                               true,
		`_, _ = f()`:                            true,
		`defer func() { _ = f() }()`:            true,
		`_ = f() // f returns its argument`:     false,
		"// f returns its argument\n_, _ = f()": false,
		`_, err := f()`:                         false,
		`_ = x`:                                 false,
		`time.Sleep(d)`:                         true,
		`time.Sleep(d) // a real server`:        false,
		`synctest.Test(t, func(t *testing.T) { time.Sleep(d) })`: false,
		`t.Skip()`:                                true,
		`t.SkipNow()`:                             true,
		`t.Skip("Unix has no such")`:              false,
		`f() //nolint:errcheck`:                   true,
		`f() //nolint:errcheck // it can't fail`:  false,
		`f() //lint:ignore SA1019`:                true,
		`f() //lint:ignore SA1019 River wants it`: false,
	} {
		f := parse(t, "sender/x.go", "package x\nfunc x() {\n"+line+"\n}\n", parser.ParseComments)
		assert.Equal(t, found, len(withoutReason(f)) == 1, line)
	}
}
