package main

import (
	"fmt"
	"go/token"
	"strings"
)

// mutant is one small change of the code. Tests that pass with it do not notice
// the change.
type mutant struct {
	id       int    // from 1, within its subject
	file     string // below the workspace's root
	line     int
	operator string         // the kind of change, for people
	anchor   token.Position // which coverage tells whether tests run it
	function string         // such as Memory.Claim; empty outside functions
	start    int            // the changed bytes of the file
	end      int
	text     string // what replaces them
	before   string // the code around them, for people
	after    string
	nth      int // among equal changes of a function
	// typ is the type of an integer in a variable's declaration outside
	// functions. The binary with all mutants chooses such an integer when it
	// starts. It is empty for other mutants.
	typ string
}

// alone reports whether the mutant needs a separate binary.
func (m *mutant) alone() bool { return m.function == "" && m.typ == "" }

// key identifies a mutant in the list of equivalent ones. It does not change
// when the code moves.
func (m *mutant) key() string {
	where := m.file
	if m.function != "" {
		where += " " + m.function
	}
	key := fmt.Sprintf("%s: %s => %s", where, m.before, m.after)
	if m.nth > 1 {
		key += fmt.Sprintf(" #%d", m.nth)
	}
	return key
}

// number gives each mutant its ID, and counts equal changes of a function.
func number(mutants []*mutant) {
	seen := map[string]int{}
	for i, m := range mutants {
		m.id, m.nth = i+1, 0
		key := m.key()
		seen[key]++
		m.nth = seen[key]
	}
}

// oneLine shortens code to a line.
func oneLine(code string) string {
	code = strings.Join(strings.Fields(code), " ")
	const most = 160
	if r := []rune(code); len(r) > most {
		code = string(r[:most-1]) + "…"
	}
	return code
}
