package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// licensePage is the page with the table, between two markers.
const (
	licensePage   = "examples/guides/pages/LICENSES.md"
	licensesBegin = "<!-- table -->\n"
	licensesEnd   = "<!-- end -->"
)

// accepted are the licenses that dependencies may have, by their SPDX names. A
// dependency with another license needs a decision first.
var accepted = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "Unlicense"}

var (
	licenseFile = regexp.MustCompile(`(?i)^(licen[sc]e|copying|unlicense)([.-].*)?$`)
	// Such a file is about other modules, which have rows of their own.
	thirdParty = regexp.MustCompile(`(?i)(3rd|third)-?party`)
)

// A dependency is a module of others whose code is compiled into a module that
// users import or install.
type dependency struct {
	path, dir string
	users     map[string]bool // folders of our modules
}

// licenses writes the table of the dependencies' licenses into its page.
func (r *runner) licenses(ctx context.Context) error {
	table, err := r.licenseTable(ctx)
	if err != nil {
		return err
	}
	name := filepath.Join(r.top, filepath.FromSlash(licensePage))
	page, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	head, tail, err := aroundTable(page)
	if err != nil {
		return err
	}
	return os.WriteFile(name, []byte(head+table+tail), 0o644)
}

// aroundTable returns the parts of the page before and after the table, with
// the markers.
func aroundTable(page []byte) (head, tail string, err error) {
	head, rest, ok := strings.Cut(string(page), licensesBegin)
	_, tail, also := strings.Cut(rest, licensesEnd)
	if !ok || !also {
		return "", "", fmt.Errorf("%s: want the markers %q and %q around the table", licensePage, strings.TrimSpace(licensesBegin), licensesEnd)
	}
	return head + licensesBegin, licensesEnd + tail, nil
}

// licenseTable returns the table. A license that is unknown or not accepted is
// an error.
func (r *runner) licenseTable(ctx context.Context) (string, error) {
	all, err := r.dependencies(ctx)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| module | license | compiled into |\n|---|---|---|\n")
	var problems []error
	for _, path := range slices.Sorted(maps.Keys(all)) {
		d := all[path]
		ids, err := licensesOf(d.dir)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", path, err))
			continue
		}
		for _, id := range ids {
			if !slices.Contains(accepted, id) {
				problems = append(problems, fmt.Errorf("%s has the license %s; replace the module, or accept the license in internal/release/licenses.go", path, id))
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", path, strings.Join(ids, ", "), d.usedBy())
	}
	return b.String(), errors.Join(problems...)
}

// usedBy names the modules that users import, or else the examples.
func (d *dependency) usedBy() string {
	var imported, examples []string
	for _, dir := range slices.Sorted(maps.Keys(d.users)) {
		switch {
		case dir == ".":
			imported = append(imported, "the root module")
		case strings.HasPrefix(dir, "examples/"):
			examples = append(examples, "`"+dir+"`")
		default:
			imported = append(imported, "`"+dir+"`")
		}
	}
	if len(imported) > 0 {
		return strings.Join(imported, ", ")
	}
	return strings.Join(examples, ", ")
}

// dependencies lists the modules of others by their paths.
func (r *runner) dependencies(ctx context.Context) (map[string]*dependency, error) {
	t, err := readTree(ctx, r.top)
	if t == nil {
		return nil, err
	}
	all := map[string]*dependency{}
	for _, m := range t.mods {
		if !m.public() {
			continue
		}
		cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}\t{{.Dir}}{{end}}", "./...")
		cmd.Dir = filepath.Join(r.top, filepath.FromSlash(m.dir))
		cmd.Env = append(os.Environ(), "GOWORK="+filepath.Join(r.top, "go.work"))
		cmd.Stderr = r.errOut
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list in %s: %w", m.dir, err)
		}
		for line := range bytes.Lines(out) {
			path, dir, ok := strings.Cut(strings.TrimSpace(string(line)), "\t")
			if !ok || t.ours(path) {
				continue
			}
			if all[path] == nil {
				all[path] = &dependency{path, dir, map[string]bool{}}
			}
			all[path].users[m.dir] = true
		}
	}
	return all, nil
}

// licensesOf returns the SPDX names of the licenses in a module's folder. A
// text that is mostly something else is an error.
func licensesOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, entry := range entries {
		if entry.IsDir() || !licenseFile.MatchString(entry.Name()) || thirdParty.MatchString(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		for _, match := range licensecheck.Scan(text).Match {
			if !match.IsURL {
				found[match.ID] = true
			}
		}
	}
	if len(found) == 0 {
		return nil, errors.New("no license that is known; look at its files")
	}
	return slices.Sorted(maps.Keys(found)), nil
}
