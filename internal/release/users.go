package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// usersDir holds the programs of outside users. The program for the module in
// DIR is DIR/main.go. For the root module it is NAME/main.go, where NAME ends
// its path. commands.txt lists commands. Each program runs in a separate
// temporary folder.
const usersDir = "internal/release/testdata/users"

// outsideUsers uses the packed modules as an outside user would. It requires
// each public module alone in a new module, installs each example with go
// install, and runs the commands of commands.txt with go run.
func (s *sandbox) outsideUsers(ctx context.Context) error {
	var problems []error
	try := func(what string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", what, err))
			return
		}
		s.runner.printf("       %s", what)
	}
	for _, m := range s.mods {
		switch {
		case !m.public():
		case m.example():
			try("go install "+m.path+"/...@"+s.version, s.install(ctx, m.mod))
		default:
			try("a module that requires "+m.path+" alone", s.use(ctx, m.mod))
		}
	}
	commands, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(usersDir), "commands.txt"))
	if err != nil {
		return errors.Join(append(problems, err)...)
	}
	for line := range strings.Lines(string(commands)) {
		if fields := strings.Fields(line); len(fields) > 0 {
			try("go run "+strings.Join(fields, " "), s.goRun(ctx, fields))
		}
	}
	return errors.Join(problems...)
}

// use creates a module that requires one module of this repository, and runs a
// program in it.
func (s *sandbox) use(ctx context.Context, m *mod) error {
	name := m.dir
	if name == "." {
		name = path.Base(m.path)
	}
	source := path.Join(usersDir, name, "main.go")
	text, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(source)))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no program that uses the module; write %s", source)
	} else if err != nil {
		return err
	}
	dir := s.path("users", filepath.FromSlash(name))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), text, 0o644); err != nil {
		return err
	}
	program := filepath.Join(dir, "program.exe")
	for _, args := range [][]string{
		{"mod", "init", "outside.example/user"},
		{"get", m.path + "@" + s.version},
		{"mod", "tidy"},
		{"build", "-o", program, "."},
	} {
		if _, err := s.run(ctx, dir, "go", args...); err != nil {
			return err
		}
	}
	if _, err := s.run(ctx, dir, program, s.version); err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	return nil
}

// install installs the programs of an example and checks the version in the
// binary. The pattern matches programs only.
func (s *sandbox) install(ctx context.Context, m *mod) error {
	if _, err := s.run(ctx, s.tmp, "go", "install", m.path+"/...@"+s.version); err != nil {
		return err
	}
	info, err := s.run(ctx, s.tmp, "go", "version", "-m", s.path("bin"))
	if err != nil {
		return err
	}
	if want := "\tmod\t" + m.path + "\t" + s.version + "\t"; !strings.Contains(info, want) {
		return fmt.Errorf("no installed program has the version %s in it:\n%s", s.version, info)
	}
	return nil
}

// goRun runs a program of the root module. It must print the version.
func (s *sandbox) goRun(ctx context.Context, fields []string) error {
	args := append([]string{"run", path.Join(s.root, fields[0]) + "@" + s.version}, fields[1:]...)
	out, err := s.run(ctx, s.tmp, "go", args...)
	if err != nil {
		return err
	}
	if !strings.Contains(out, strings.TrimPrefix(s.version, "v")) {
		return fmt.Errorf("it does not print the version %s: %s", s.version, out)
	}
	return nil
}
