package template

import (
	"fmt"
	"reflect"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/deployhook/deployhook/sender/internal/chat"
)

// escaper is the function that is put behind every inserted value.
const escaper = "_escape"

// limited is a value with its own limit.
type limited struct {
	text string
	max  int
}

// functions are those that templates may call, in addition to and, or, not, eq,
// ne and len.
func (f *Format) functions() template.FuncMap {
	escape := f.escape()
	return template.FuncMap{
		"upper":     changed(strings.ToUpper),
		"lower":     changed(strings.ToLower),
		"firstLine": changed(chat.FirstLine),
		"truncate": func(max int, v any) limited {
			if l, ok := v.(limited); ok {
				max = min(max, l.max)
			}
			return limited{text(v), min(max, f.max)}
		},
		"default": func(fallback string, v any) any {
			if chat.Blank(text(v)) {
				return fallback
			}
			return v
		},
		escaper: func(v any) string {
			switch v := v.(type) {
			case Link:
				return string(v)
			case Color:
				return string(v)
			case limited:
				return chat.Cut(v.text, v.max, escape)
			default:
				return chat.Cut(text(v), f.max, escape)
			}
		},
	}
}

// changed turns f into a function for templates that keeps the limit of a
// truncated value.
func changed(change func(string) string) func(any) any {
	return func(v any) any {
		if l, ok := v.(limited); ok {
			return limited{change(l.text), l.max}
		}
		return change(text(v))
	}
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case limited:
		return v.text
	default:
		return fmt.Sprint(v)
	}
}

// arguments is the number of arguments of each function that templates may
// call. -1 means one or more.
var arguments = map[string]int{
	"upper": 1, "lower": 1, "firstLine": 1, "truncate": 2, "default": 2,
	"and": -1, "or": -1, "not": 1, "eq": -1, "ne": 2, "len": 1,
}

// compile parses a template, checks it, and puts the escaper behind every
// inserted value. The author of a template can't prevent that, as with
// html/template.
func (f *Format) compile(source string) (*template.Template, error) {
	t, err := template.New("").Option("missingkey=error").Funcs(f.functions()).Parse(source)
	if err != nil {
		return nil, err
	}
	if t.Tree == nil || len(t.Templates()) > 1 {
		return nil, fmt.Errorf("define and block are not available")
	}
	return t, checkList(t.Root, true)
}

// checkList checks the nodes of a list. whole says that dot is Data, not a
// text.
func checkList(list *parse.ListNode, whole bool) error {
	if list == nil {
		return nil
	}
	for _, n := range list.Nodes {
		if err := checkNode(n, whole); err != nil {
			return err
		}
	}
	return nil
}

func checkNode(n parse.Node, whole bool) error {
	switch n := n.(type) {
	case *parse.TextNode, *parse.CommentNode:
		return nil
	case *parse.ActionNode:
		if err := checkPipe(n.Pipe, whole); err != nil {
			return err
		}
		n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{
			NodeType: parse.NodeCommand, Args: []parse.Node{parse.NewIdentifier(escaper).SetPos(n.Pos)},
		})
		return nil
	case *parse.IfNode:
		return checkBranch(&n.BranchNode, whole, whole)
	case *parse.WithNode:
		return checkBranch(&n.BranchNode, whole, false)
	default:
		return fmt.Errorf("%s is not available: there are values, if and with", n)
	}
}

func checkBranch(n *parse.BranchNode, whole, inside bool) error {
	if err := checkPipe(n.Pipe, whole); err != nil {
		return err
	}
	if err := checkList(n.List, inside); err != nil {
		return err
	}
	return checkList(n.ElseList, whole)
}

func checkPipe(p *parse.PipeNode, whole bool) error {
	if len(p.Decl) > 0 {
		return fmt.Errorf("%s: variables are not available", p)
	}
	for i, c := range p.Cmds {
		if err := checkCommand(c, whole, i > 0); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// checkCommand checks one step of a pipeline. piped says that it gets one more
// argument from the step before.
func checkCommand(c *parse.CommandNode, whole, piped bool) error {
	for _, arg := range c.Args {
		if err := checkArgument(arg, whole); err != nil {
			return err
		}
	}
	given := len(c.Args) - 1
	if piped {
		given++
	}
	switch first := c.Args[0].(type) {
	case *parse.IdentifierNode:
		want := arguments[first.Ident]
		if want == -1 && given == 0 || want != -1 && given != want {
			return fmt.Errorf("%s has %d arguments", first.Ident, given)
		}
		if first.Ident == "truncate" {
			if n, ok := c.Args[1].(*parse.NumberNode); !ok || !n.IsInt || n.Int64 <= 0 {
				return fmt.Errorf("truncate: want how much to keep, a positive number, and then the value")
			}
		}
	default:
		if name := fieldOf(first); name == "Metadata" {
			if _, ok := c.Args[len(c.Args)-1].(*parse.StringNode); given != 1 || piped || !ok {
				return fmt.Errorf(`.Metadata wants a name: .Metadata "build"`)
			}
		} else if given > 0 {
			return fmt.Errorf("%s is no function", first)
		}
	}
	return nil
}

func checkArgument(n parse.Node, whole bool) error {
	switch n := n.(type) {
	case *parse.DotNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode:
		if _, dot := n.(*parse.DotNode); dot && whole {
			return fmt.Errorf("dot is the whole event; name a field, such as .App")
		}
		return nil
	case *parse.PipeNode:
		return checkPipe(n, whole)
	case *parse.IdentifierNode:
		if _, ok := arguments[n.Ident]; !ok {
			return fmt.Errorf("there is no function %q", n.Ident)
		}
		return nil
	case *parse.FieldNode:
		if !whole {
			return fmt.Errorf("inside with, dot is the text; write $%s", n)
		}
		return checkField(n)
	case *parse.VariableNode:
		return checkField(n)
	default:
		return fmt.Errorf("%s is not available", n)
	}
}

func checkField(n parse.Node) error {
	name := fieldOf(n)
	if name == "Metadata" {
		return nil
	}
	if f, ok := reflect.TypeFor[Data]().FieldByName(name); !ok || !f.IsExported() {
		return fmt.Errorf("there is no field %s", n)
	}
	return nil
}

// fieldOf is the name of the field of Data that n stands for, or "".
func fieldOf(n parse.Node) string {
	switch n := n.(type) {
	case *parse.FieldNode:
		if len(n.Ident) == 1 {
			return n.Ident[0]
		}
	case *parse.VariableNode:
		if len(n.Ident) == 2 && n.Ident[0] == "$" {
			return n.Ident[1]
		}
	}
	return ""
}
