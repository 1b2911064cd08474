package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// A drift is a file that go mod tidy would change.
type drift struct {
	name      string // relative to the root, with slashes
	was, tidy []byte
}

// tidyClone runs go mod tidy in every module of the clone. The clone's go.sum
// keeps the sums of this repository's modules, which later commands need. The
// drifts do not contain them.
func (s *sandbox) tidyClone(ctx context.Context) ([]drift, error) {
	var drifts []drift
	var problems []error
	for _, m := range s.mods {
		dir := s.moduleDir(m.mod)
		was, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil {
			return nil, err
		}
		if _, err := s.run(ctx, dir, "go", "mod", "tidy"); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", m.dir, err))
			continue
		}
		tidy, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil {
			return nil, err
		}
		sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if !bytes.Equal(was, tidy) {
			drifts = append(drifts, drift{path.Join(m.dir, "go.mod"), was, tidy})
		}
		if sum = s.withoutOurs(sum); !bytes.Equal(m.sum, sum) {
			drifts = append(drifts, drift{path.Join(m.dir, "go.sum"), m.sum, sum})
		}
	}
	return drifts, errors.Join(problems...)
}

func (s *sandbox) checkTidy(ctx context.Context) error {
	drifts, err := s.tidyClone(ctx)
	if err != nil {
		return err
	}
	if len(drifts) == 0 {
		return nil
	}
	var text bytes.Buffer
	for _, d := range drifts {
		fmt.Fprintf(&text, "\n%s\n%s", d.name, lineDiff(d.was, d.tidy))
	}
	return fmt.Errorf("run go run ./internal/release tidy, which makes these changes:%s", text.Bytes())
}

// lineDiff lists the lines that are in only one of two texts.
func lineDiff(was, tidy []byte) string {
	before, after := slices.Collect(bytes.Lines(was)), slices.Collect(bytes.Lines(tidy))
	var text bytes.Buffer
	list := func(sign string, lines, others [][]byte) {
		for _, line := range lines {
			if !slices.ContainsFunc(others, func(o []byte) bool { return bytes.Equal(bytes.TrimSpace(o), bytes.TrimSpace(line)) }) {
				fmt.Fprintf(&text, "%s%s\n", sign, bytes.TrimRight(line, "\n"))
			}
		}
	}
	list("-", before, after)
	list("+", after, before)
	if text.Len() == 0 {
		return "  the order or the layout of its lines\n"
	}
	return text.String()
}

// tidyRounds is the maximum number of repetitions of tidy. A change in one
// module may change the requirements of modules that depend on it.
const tidyRounds = 5

// tidy runs go mod tidy for every module of the working tree.
func (r *runner) tidy(ctx context.Context) error {
	for range tidyRounds {
		drifts, err := r.tidyOnce(ctx)
		if err != nil {
			return err
		}
		if len(drifts) == 0 {
			r.printf("tidy")
			return nil
		}
		for _, d := range drifts {
			r.printf("changed %s", d.name)
		}
	}
	return fmt.Errorf("the modules were not tidy after %d rounds", tidyRounds)
}

func (r *runner) tidyOnce(ctx context.Context) ([]drift, error) {
	if err := r.dropOurSums(ctx); err != nil {
		return nil, err
	}
	s, err := r.newWorktreeSandbox(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	drifts, err := s.tidyClone(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range drifts {
		if err := os.WriteFile(filepath.Join(r.top, filepath.FromSlash(d.name)), d.tidy, 0o644); err != nil {
			return nil, err
		}
	}
	return drifts, nil
}

// dropOurSums removes the sums of this repository's modules from the go.sum
// files of the working tree. Commands with GOWORK=off may have added them.
func (r *runner) dropOurSums(ctx context.Context) error {
	t, err := readTree(ctx, r.top)
	if t == nil {
		return err
	}
	for _, m := range t.mods {
		if sum := t.withoutOurs(m.sum); !bytes.Equal(sum, m.sum) {
			if err := os.WriteFile(filepath.Join(r.top, filepath.FromSlash(m.dir), "go.sum"), sum, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
