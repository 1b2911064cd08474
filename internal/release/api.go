package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

const apidiff = "golang.org/x/exp/cmd/apidiff@v0.0.0-20261113113407-e3970619a1a4"

// api reports how the API of each public module has changed since the last tag
// of the root module.
func (r *runner) api(ctx context.Context) error {
	out, err := git(ctx, r.top, nil, "tag", "--list", "v*", "--sort=-version:refname")
	if err != nil {
		return err
	}
	last, _, _ := strings.Cut(out, "\n")
	if last == "" {
		r.printf("API changes: there is no tag yet, so there is nothing to compare with")
		return nil
	}
	r.printf("API changes since %s:", last)
	before, err := r.newSandbox(ctx, last)
	if err != nil {
		return fmt.Errorf("reading %s: %w", last, err)
	}
	defer before.close()
	now, err := r.newWorktreeSandbox(ctx)
	if err != nil {
		return err
	}
	defer now.close()
	if _, err := now.run(ctx, now.tmp, "go", "install", apidiff); err != nil {
		return err
	}
	var problems []error
	for _, m := range now.mods {
		if m.public() && !m.example() {
			if err := r.compare(ctx, before, now, m.mod); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", m.dir, err))
			}
		}
	}
	return errors.Join(problems...)
}

// compare prints one module's changes.
func (r *runner) compare(ctx context.Context, before, now *sandbox, m *mod) error {
	if before.byPath(m.path) == nil {
		r.printf("  %s\n    a new module", m.path)
		return nil
	}
	var exports []string
	for _, s := range []*sandbox{before, now} {
		export := s.path(strings.ReplaceAll(m.dir, "/", "-") + ".export")
		// The clone's go.sum has no sums of this repository's modules.
		env := []string{"GOFLAGS=" + s.flags + " -mod=mod"}
		dir := s.moduleDir(s.byPath(m.path))
		if _, err := s.runEnv(ctx, env, dir, now.path("bin", "apidiff"), "-m", "-w", export, m.path); err != nil {
			return err
		}
		exports = append(exports, export)
	}
	text, err := now.run(ctx, now.tmp, now.path("bin", "apidiff"), "-m", exports[0], exports[1])
	if err != nil {
		return err
	}
	if text = strings.TrimSpace(text); text == "" {
		text = "no changes"
	}
	r.printf("  %s\n    %s", m.path, strings.ReplaceAll(text, "\n", "\n    "))
	return nil
}
