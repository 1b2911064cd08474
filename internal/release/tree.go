package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// A mod is one module of the tree.
type mod struct {
	path string
	// dir is relative to the root, with slashes. It is "." for the root module.
	dir  string
	file *modfile.File
	sum  []byte // go.sum, which may be empty
}

// public reports whether users import the module's packages or run its program.
func (m *mod) public() bool { return !slices.Contains(strings.Split(m.dir, "/"), "internal") }

// example reports whether the module is a program that users install.
func (m *mod) example() bool { return strings.HasPrefix(m.dir, "examples/") }

// tag returns the tag that publishes the module at a version.
func (m *mod) tag(version string) string {
	if m.dir == "." {
		return version
	}
	return m.dir + "/" + version
}

// A tree is a checked-out commit.
type tree struct {
	dir     string
	root    string // the root module's path
	version string // the version at which the modules require each other
	mods    []*mod // dependencies first
	links   []string
}

// readTree reads the go.mod files and go.work of a clone. It reports every
// reason why a module cannot be published.
func readTree(ctx context.Context, dir string) (*tree, error) {
	t := &tree{dir: dir}
	files, err := git(ctx, dir, nil, "ls-files", "-z", "--stage")
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(files, "\x00"), "\x00") {
		mode, name, _ := strings.Cut(line, "\t")
		if strings.HasPrefix(mode, "120000 ") {
			t.links = append(t.links, name)
		}
		if path.Base(name) != "go.mod" || path.Base(path.Dir(name)) == "testdata" {
			continue // in testdata it only keeps the files around it out of a module
		}
		m, err := readMod(dir, path.Dir(name))
		if err != nil {
			return nil, err
		}
		t.mods = append(t.mods, m)
		if m.dir == "." {
			t.root = m.path
		}
	}
	if t.root == "" {
		return nil, errors.New("the repository has no go.mod at its root")
	}
	work, err := readWork(dir)
	if err != nil {
		return nil, err
	}
	problems := t.problems(work)
	problems = append(problems, t.sort()...)
	return t, errors.Join(problems...)
}

func readMod(top, dir string) (*mod, error) {
	name := path.Join(dir, "go.mod")
	text, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	file, err := modfile.Parse(name, text, nil)
	if err != nil {
		return nil, err
	}
	if file.Module == nil {
		return nil, fmt.Errorf("%s: no module directive", name)
	}
	sum, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(dir), "go.sum"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return &mod{path: file.Module.Mod.Path, dir: dir, file: file, sum: sum}, nil
}

func readWork(top string) (*modfile.WorkFile, error) {
	text, err := os.ReadFile(filepath.Join(top, "go.work"))
	if err != nil {
		return nil, err
	}
	return modfile.ParseWork("go.work", text, nil)
}

// ours reports whether a module path belongs to this repository.
func (t *tree) ours(p string) bool { return p == t.root || strings.HasPrefix(p, t.root+"/") }

func (t *tree) byPath(p string) *mod {
	for _, m := range t.mods {
		if m.path == p {
			return m
		}
	}
	return nil
}

// sort orders the modules so that each one follows those that it requires.
func (t *tree) sort() []error {
	slices.SortFunc(t.mods, func(a, b *mod) int { return strings.Compare(a.dir, b.dir) })
	var sorted []*mod
	var problems []error
	const begun, done = 1, 2
	state := map[*mod]int{}
	var visit func(m *mod)
	visit = func(m *mod) {
		state[m] = begun
		for _, r := range m.file.Require {
			switch next := t.byPath(r.Mod.Path); {
			case next == nil || state[next] == done:
			case state[next] == begun:
				problems = append(problems, fmt.Errorf("%s/go.mod: %s requires this module in turn; no order of tags would do", m.dir, r.Mod.Path))
			default:
				visit(next)
			}
		}
		state[m] = done
		sorted = append(sorted, m)
	}
	for _, m := range t.mods {
		if state[m] == 0 {
			visit(m)
		}
	}
	t.mods = sorted
	return problems
}
