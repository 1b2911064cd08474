package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// prepare sets the version of every module, tidies, checks the result and
// prints the remaining steps.
func (r *runner) prepare(ctx context.Context, version string) error {
	if !semver.IsValid(version) || semver.Canonical(version) != version {
		return fmt.Errorf("%w: %q is no version such as v0.2.0", errUsage, version)
	}
	if err := r.set(ctx, version); err != nil {
		return err
	}
	if err := r.tidy(ctx); err != nil {
		return err
	}
	if err := r.check(ctx, true); err != nil {
		return err
	}
	if err := r.api(ctx); err != nil {
		return err
	}
	t, err := readTree(ctx, r.top)
	if err != nil {
		return err
	}
	r.printf("\nCommit this, and then push these tags one by one, in this order:")
	return r.printTags(ctx, t)
}

// set writes the version into every go.mod file and into go.work.
func (r *runner) set(ctx context.Context, version string) error {
	t, err := readTree(ctx, r.top)
	if t == nil {
		return err
	}
	// check reports the other problems later.
	for _, m := range t.mods {
		changed := false
		for _, req := range m.file.Require {
			if t.ours(req.Mod.Path) && req.Mod.Version != version {
				if err := m.file.AddRequire(req.Mod.Path, version); err != nil {
					return err
				}
				changed = true
			}
		}
		if !changed {
			continue
		}
		m.file.Cleanup()
		text, err := m.file.Format()
		if err != nil {
			return err
		}
		name := path.Join(m.dir, "go.mod")
		if err := os.WriteFile(filepath.Join(r.top, filepath.FromSlash(name)), text, 0o644); err != nil {
			return err
		}
		r.printf("set    %s", name)
	}
	return r.setWork(t, version)
}

func (r *runner) setWork(t *tree, version string) error {
	work, err := readWork(r.top)
	if err != nil {
		return err
	}
	for _, old := range work.Replace {
		if !t.ours(old.Old.Path) {
			continue
		}
		for i, token := range old.Syntax.Token {
			if token == old.Old.Version {
				old.Syntax.Token[i] = version
			}
		}
	}
	text := modfile.Format(work.Syntax)
	r.printf("set    go.work")
	return os.WriteFile(filepath.Join(r.top, "go.work"), text, 0o644)
}

// tags prints the tags that publish HEAD.
func (r *runner) tags(ctx context.Context) error {
	s, err := r.newSandbox(ctx, "HEAD")
	if err != nil {
		return err
	}
	return errors.Join(r.printTags(ctx, s.tree), s.close())
}

// printTags prints one tag per line, dependencies first. An existing tag is an
// error, because published versions never change.
func (r *runner) printTags(ctx context.Context, t *tree) error {
	var problems []error
	for _, m := range t.mods {
		tag := m.tag(t.version)
		r.printf("%s", tag)
		if found, err := git(ctx, r.top, nil, "tag", "--list", tag); err != nil {
			return err
		} else if strings.TrimSpace(found) != "" {
			problems = append(problems, fmt.Errorf("the tag %s exists; prepare the next version", tag))
		}
	}
	return errors.Join(problems...)
}
