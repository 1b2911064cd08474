package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// check proves that the tree can be published. It packs every module, fetches
// the tags as the go command does, checks that the modules are tidy, vets each
// module alone, and then acts as an outside user.
func (r *runner) check(ctx context.Context, worktree bool) error {
	if changed, err := git(ctx, r.top, nil, "status", "--porcelain"); err != nil {
		return err
	} else if changed != "" && !worktree {
		r.printf("note: HEAD is checked, without the changes that are not committed (-worktree includes them)")
	}
	start := time.Now()
	s, err := r.checked(ctx, worktree)
	if err != nil {
		return err
	}
	defer s.close()
	for _, m := range s.mods {
		r.printf("packed %s@%s (%d bytes)", m.path, s.version, m.size)
		if m.dir == "." {
			r.printf("       the root module may have %d bytes, %d are left", maxRootZip, maxRootZip-m.size)
		}
	}
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"tags fetched from git are the packed modules", s.fetchTags},
		{"go.mod and go.sum are tidy", s.checkTidy},
		{"go vet without the workspace", s.vet},
		{"outside users", s.outsideUsers},
	}
	var problems []error
	for _, step := range steps {
		began := time.Now()
		if err := step.do(ctx); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", step.name, err))
			r.printf("FAIL   %s", step.name)
			continue
		}
		r.printf("ok     %s (%.1fs)", step.name, time.Since(began).Seconds())
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	r.printf("%d modules can be published as %s (%.1fs)", len(s.mods), s.version, time.Since(start).Seconds())
	return nil
}

func (r *runner) checked(ctx context.Context, worktree bool) (*sandbox, error) {
	if worktree {
		return r.newWorktreeSandbox(ctx)
	}
	return r.newSandbox(ctx, "HEAD")
}

// vet vets each module as it is published, without the files of other modules.
func (s *sandbox) vet(ctx context.Context) error {
	var problems []error
	for _, m := range s.mods {
		if _, err := s.run(ctx, s.moduleDir(m.mod), "go", "vet", "./..."); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", m.dir, err))
		}
	}
	return errors.Join(problems...)
}
