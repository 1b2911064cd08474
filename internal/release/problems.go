package main

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// problems compares the go.mod files with each other and with go.work, and sets
// the tree's version.
func (t *tree) problems(work *modfile.WorkFile) []error {
	var all []error
	add := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	used := map[string]bool{}
	for _, u := range work.Use {
		dir := path.Clean(u.Path)
		used[dir] = true
		if !t.has(dir) {
			add("go.work: use %s: no go.mod of that folder is committed", u.Path)
		}
	}
	replaced := map[string]bool{}
	for _, r := range work.Replace {
		m := t.byPath(r.Old.Path)
		switch {
		case m == nil:
			add("go.work: replace %s: the tree has no such module", r.Old.Path)
			continue
		case r.Old.Version == "" || r.New.Version != "" || path.Clean(r.New.Path) != m.dir:
			add("go.work: replace %s: want the next version => ./%s", r.Old.Path, m.dir)
			continue
		case t.version == "":
			t.version = r.Old.Version
		case t.version != r.Old.Version:
			add("go.work: replace %s at %s: other modules are at %s", r.Old.Path, r.Old.Version, t.version)
		}
		replaced[m.path] = true
	}
	if !semver.IsValid(t.version) || semver.Canonical(t.version) != t.version {
		add("go.work: the replace directives give no version such as v0.1.0")
	}
	for _, m := range t.mods {
		if !used[m.dir] {
			add("%s: not listed in go.work; add: use ./%s", path.Join(m.dir, "go.mod"), m.dir)
		}
		if !replaced[m.path] {
			add("%s: not replaced in go.work; add: replace %s %s => ./%s", path.Join(m.dir, "go.mod"), m.path, t.version, m.dir)
		}
		all = append(all, t.problemsOf(m)...)
	}
	for _, name := range t.links {
		add("%s: a symbolic link is left out of module zips", name)
	}
	return all
}

func (t *tree) has(dir string) bool {
	for _, m := range t.mods {
		if m.dir == dir {
			return true
		}
	}
	return false
}

// problemsOf checks one go.mod and its go.sum.
func (t *tree) problemsOf(m *mod) []error {
	var all []error
	name := path.Join(m.dir, "go.mod")
	add := func(format string, args ...any) { all = append(all, fmt.Errorf(name+": "+format, args...)) }
	if want := path.Join(t.root, m.dir); m.path != want {
		add("module %s: the folder makes it %s", m.path, want)
	}
	for _, r := range m.file.Replace {
		add("replace %s: users do not get replacements, and go install refuses them; remove it", r.Old.Path)
	}
	for _, r := range m.file.Exclude {
		add("exclude %s: go install refuses it; remove it", r.Mod.Path)
	}
	for _, r := range m.file.Require {
		switch {
		case !t.ours(r.Mod.Path):
		case t.byPath(r.Mod.Path) == nil:
			add("requires %s: the tree has no such module", r.Mod.Path)
		case r.Mod.Version != t.version:
			add("requires %s at %s: the tree is %s", r.Mod.Path, r.Mod.Version, t.version)
		}
	}
	if !bytes.Equal(t.withoutOurs(m.sum), m.sum) {
		all = append(all, fmt.Errorf("%s: holds sums of this repository's modules, which change with every commit; "+
			"remove them, or run go run ./internal/release tidy", path.Join(m.dir, "go.sum")))
	}
	return all
}

// withoutOurs returns a go.sum without the lines of this repository's modules.
func (t *tree) withoutOurs(sum []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(sum) {
		p, _, _ := strings.Cut(string(line), " ")
		if !t.ours(p) {
			kept = append(kept, line...)
		}
	}
	return kept
}
