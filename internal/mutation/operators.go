package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// swaps are the tokens that replace a token of a binary expression or an
// assignment. The first one of a comparison is its negation, and the second one
// moves its boundary.
var swaps = map[token.Token][]token.Token{
	token.EQL: {token.NEQ}, token.NEQ: {token.EQL},
	token.LSS: {token.GEQ, token.LEQ}, token.LEQ: {token.GTR, token.LSS},
	token.GTR: {token.LEQ, token.GEQ}, token.GEQ: {token.LSS, token.GTR},
	token.LAND: {token.LOR}, token.LOR: {token.LAND},
	token.ADD: {token.SUB}, token.SUB: {token.ADD},
	token.MUL: {token.QUO}, token.QUO: {token.MUL}, token.REM: {token.MUL},
	token.SHL: {token.SHR}, token.SHR: {token.SHL},
	token.AND: {token.OR}, token.OR: {token.AND}, token.XOR: {token.AND}, token.AND_NOT: {token.AND},
	token.ADD_ASSIGN: {token.SUB_ASSIGN}, token.SUB_ASSIGN: {token.ADD_ASSIGN},
	token.MUL_ASSIGN: {token.QUO_ASSIGN}, token.QUO_ASSIGN: {token.MUL_ASSIGN},
	token.SHL_ASSIGN: {token.SHR_ASSIGN}, token.SHR_ASSIGN: {token.SHL_ASSIGN},
	token.AND_ASSIGN: {token.OR_ASSIGN}, token.OR_ASSIGN: {token.AND_ASSIGN}, token.XOR_ASSIGN: {token.AND_ASSIGN},
	token.INC: {token.DEC}, token.DEC: {token.INC},
}

// finder collects the mutants of one file. Some of them do not compile. The
// type checker finds those later.
type finder struct {
	fset     *token.FileSet
	info     *types.Info
	file     *ast.File
	source   []byte
	name     string // of the file
	function string
	results  []*types.Tuple // of the functions around the current node
	kept     map[ast.Node]bool
	parents  []ast.Node // of the current node, the outermost first
	operator string     // of the mutants that add adds
	found    []*mutant
}

// find returns the mutants of a file.
func find(fset *token.FileSet, info *types.Info, file *ast.File, source []byte, name string) []*mutant {
	f := &finder{fset: fset, info: info, file: file, source: source, name: name, kept: map[ast.Node]bool{}}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Body == nil {
				continue
			}
			f.function = functionName(d)
			f.inside(f.info.Defs[d.Name].Type().(*types.Signature), d.Body)
		case *ast.GenDecl:
			f.function = ""
			if d.Tok == token.CONST || d.Tok == token.VAR {
				f.literals(d)
			}
		}
	}
	return f.found
}

func functionName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	recv := d.Recv.List[0].Type
	if star, ok := recv.(*ast.StarExpr); ok {
		recv = star.X
	}
	switch t := recv.(type) {
	case *ast.IndexExpr:
		recv = t.X
	case *ast.IndexListExpr:
		recv = t.X
	}
	return recv.(*ast.Ident).Name + "." + d.Name.Name
}

// literals changes the integers of a declaration outside functions.
func (f *finder) literals(d ast.Node) {
	ast.Inspect(d, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok {
			f.literal(lit)
		}
		_, isFunc := n.(*ast.FuncLit)
		f.step(n, !isFunc)
		return !isFunc
	})
}

// inside visits a function's body.
func (f *finder) inside(signature *types.Signature, body *ast.BlockStmt) {
	f.results = append(f.results, signature.Results())
	ast.Inspect(body, func(n ast.Node) bool {
		_, isFunc := n.(*ast.FuncLit)
		f.visit(n)
		f.step(n, !isFunc)
		return !isFunc // visit has been inside
	})
	f.results = f.results[:len(f.results)-1]
}

// step notes the way of ast.Inspect, which ends each node with nil.
func (f *finder) step(n ast.Node, down bool) {
	switch {
	case n == nil:
		f.parents = f.parents[:len(f.parents)-1]
	case down:
		f.parents = append(f.parents, n)
	}
}

func (f *finder) visit(n ast.Node) {
	switch n := n.(type) {
	case *ast.FuncLit:
		f.inside(f.info.TypeOf(n).(*types.Signature), n.Body)
	case *ast.CommClause:
		f.kept[n.Comm] = true // without it, the clause would be no Go
	case *ast.TypeSwitchStmt:
		f.kept[n.Assign] = true
	case *ast.IfStmt:
		f.condition(n.Cond)
	case *ast.ForStmt:
		f.condition(n.Cond)
	case *ast.CaseClause:
		f.cases(n)
	case *ast.BinaryExpr:
		f.swap(n, n.OpPos, n.Op)
	case *ast.UnaryExpr:
		if n.Op == token.NOT || n.Op == token.SUB {
			f.operator = "operator"
			f.add(n, n.Pos(), n.X.Pos(), "")
		}
	case *ast.BasicLit:
		f.literal(n)
	case *ast.ReturnStmt:
		f.returned(n)
	case ast.Stmt:
		f.statement(n)
	}
}

// swap exchanges an operator.
func (f *finder) swap(n ast.Node, at token.Pos, op token.Token) {
	for i, other := range swaps[op] {
		f.operator = "operator"
		if i == 1 {
			f.operator = "boundary"
		}
		f.add(n, at, at+token.Pos(len(op.String())), other.String())
	}
}

// condition negates a condition that no other operator negates.
func (f *finder) condition(cond ast.Expr) {
	switch c := cond.(type) {
	case nil, *ast.UnaryExpr:
		return
	case *ast.BinaryExpr:
		if c.Op != token.LAND && c.Op != token.LOR {
			return
		}
	}
	f.operator = "condition"
	f.replace(cond, "!("+f.code(cond)+")")
}

// cases negates the conditions of a clause, if it has any.
func (f *finder) cases(clause *ast.CaseClause) {
	s, ok := f.parents[len(f.parents)-2].(*ast.SwitchStmt) // the last one is its block
	if !ok || s.Tag != nil {
		return
	}
	f.step(clause, true)
	for _, cond := range clause.List {
		f.condition(cond)
	}
	f.step(nil, false)
}

func (f *finder) literal(lit *ast.BasicLit) {
	if lit.Kind == token.INT {
		f.operator = "number"
		f.replace(lit, "("+lit.Value+"+1)")
		f.replace(lit, "("+lit.Value+"-1)")
	}
}

// statement exchanges the operator of a statement, and removes it.
func (f *finder) statement(s ast.Stmt) {
	if f.kept[s] {
		return
	}
	switch s := s.(type) {
	case *ast.AssignStmt:
		if s.Tok == token.DEFINE {
			return
		}
		f.swap(s, s.TokPos, s.Tok)
	case *ast.IncDecStmt:
		f.swap(s, s.TokPos, s.Tok)
	case *ast.BranchStmt:
		if s.Tok == token.FALLTHROUGH {
			return
		}
	case *ast.ExprStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt:
	default:
		return
	}
	f.operator = "statement"
	f.replace(s, "")
}

// returned replaces each result by its zero value, and negates boolean ones. It
// removes a return without results.
func (f *finder) returned(s *ast.ReturnStmt) {
	results := f.results[len(f.results)-1]
	if len(s.Results) == 0 {
		f.operator = "statement"
		f.replace(s, "")
	}
	if len(s.Results) != results.Len() {
		return
	}
	for i, expr := range s.Results {
		if text := f.zero(results.At(i).Type(), expr); text != "" && text != f.code(expr) {
			f.operator = "result"
			f.add(s, expr.Pos(), expr.End(), text)
		}
	}
}

// zero returns the code that replaces a result, or "" for none.
func (f *finder) zero(t types.Type, expr ast.Expr) string {
	switch u := t.Underlying().(type) {
	case *types.Pointer, *types.Slice, *types.Map, *types.Chan, *types.Signature:
		return "nil"
	case *types.Interface:
		if _, isParam := t.(*types.TypeParam); !isParam {
			return "nil"
		}
	case *types.Basic:
		switch {
		case u.Info()&types.IsBoolean != 0:
			return f.opposite(expr)
		case u.Info()&types.IsNumeric != 0 && f.info.Types[expr].Value == nil:
			return "0"
		case u.Info()&types.IsString != 0:
			return `""`
		}
	}
	return ""
}

// opposite negates a boolean result, unless another operator does.
func (f *finder) opposite(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.UnaryExpr:
		return ""
	case *ast.BinaryExpr:
		if e.Op != token.LAND && e.Op != token.LOR {
			return ""
		}
	}
	switch code := f.code(expr); code {
	case "true":
		return "false"
	case "false":
		return "true"
	default:
		return "!(" + code + ")"
	}
}

func (f *finder) replace(n ast.Node, text string) { f.add(n, n.Pos(), n.End(), text) }

// add adds a mutant that replaces the code from start to end by text.
func (f *finder) add(around ast.Node, start, end token.Pos, text string) {
	from, to := f.offset(start), f.offset(end)
	typ := f.variable(around)
	around = f.context(around)
	before := f.code(around)
	shift := f.offset(around.Pos())
	after := before[:from-shift] + text + before[to-shift:]
	if after == "" {
		after = "(removed)"
	}
	f.found = append(f.found, &mutant{
		file: f.name, line: f.fset.Position(start).Line, operator: f.operator,
		function: f.function, anchor: f.fset.Position(f.anchor(start)),
		start: from, end: to, text: text, typ: typ,
		before: oneLine(before), after: oneLine(after),
	})
}

// variable returns the type of an integer that initializes a variable outside
// functions, or "" for other code. The length of an array has to be constant.
func (f *finder) variable(n ast.Node) string {
	lit, ok := n.(ast.Expr)
	if !ok || f.function != "" {
		return ""
	}
	for _, p := range f.parents {
		switch p := p.(type) {
		case *ast.GenDecl:
			if p.Tok != token.VAR {
				return ""
			}
		case *ast.ArrayType:
			return ""
		}
	}
	if t := f.info.TypeOf(lit); t != nil {
		return types.TypeString(t, func(p *types.Package) string {
			if p.Name() == f.file.Name.Name {
				return ""
			}
			return p.Name()
		})
	}
	return ""
}

// anchor returns the place whose coverage tells whether the code at a place
// runs. A profile does not include the conditions of cases.
func (f *finder) anchor(at token.Pos) token.Pos {
	for i, p := range slices.Backward(f.parents) {
		colon := token.NoPos
		switch c := p.(type) {
		case *ast.CaseClause:
			colon = c.Colon
		case *ast.CommClause:
			colon = c.Colon
		}
		if at < colon {
			at = f.parents[i-2].Pos() // of the switch or select
		}
	}
	return at
}

// context widens a node to the largest one around it that is still easy to
// read.
func (f *finder) context(n ast.Node) ast.Node {
	for _, p := range slices.Backward(f.parents) {
		switch p.(type) {
		case *ast.ValueSpec, *ast.ReturnStmt, *ast.AssignStmt, *ast.ExprStmt, ast.Expr:
		default:
			return n
		}
		if code := f.code(p); len(code) > 90 || strings.Contains(code, "\n") {
			return n
		}
		n = p
	}
	return n
}

func (f *finder) code(n ast.Node) string {
	return string(f.source[f.offset(n.Pos()):f.offset(n.End())])
}

func (f *finder) offset(p token.Pos) int { return f.fset.Position(p).Offset }
