package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// bugTime ends a bug's run that hangs.
const bugTime = 20 * time.Minute

// Bugs puts known bugs back into the product, one at a time, and expects that
// the simulation finds each. dir has one file for each bug:
//
//	The first lines say what is wrong.
//
//	test: TestSimulation
//	want: a regular expression of the violation
//	file: receiver/serve.go
//	<<<<
//	lines of the file, which occur once
//	====
//	the lines that replace them
//	>>>>
//
// "file" and the replacement may be repeated. "in: sender/outbox" runs the test
// of another directory of the repository, and "flags: -x 1" passes it flags.
//
// Without the flag -sim.bugs the test only checks that each bug still applies.
// With it, a bug runs as "go test -overlay", which leaves the tree as it is.
func (f *Flags) Bugs(t *testing.T, dir string) {
	names, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no bugs in %s: %v", dir, err)
	}
	only, err := regexp.Compile(*f.bugs)
	if err != nil {
		t.Fatalf("-sim.bugs: %v", err)
	}
	root := repository(t)
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			b, err := readBug(root, name)
			if err != nil {
				t.Fatal(err)
			}
			if *f.bugs != "" && only.MatchString(t.Name()) {
				t.Log(b.find(t, root, *f.seeds))
			}
		})
	}
}

// repository returns the directory of go.work.
func repository(t *testing.T) string {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.work")); missing == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			err = errors.New("no go.work above the working directory")
		}
		dir = up
	}
	t.Fatal(err)
	return ""
}

// bug is one known bug.
type bug struct {
	about []string
	test  string
	in    string // directory, or "" for that of the test
	flags []string
	want  *regexp.Regexp
	files map[string][]byte // with the bug, by path below the root
}

var replacement = regexp.MustCompile(`(?s)file: (\S+)\n<<<<\n(.*?)====\n(.*?)>>>>\n`)

func readBug(root, name string) (*bug, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	b := &bug{test: "TestSimulation", files: map[string][]byte{}}
	for _, m := range replacement.FindAllSubmatch(text, -1) {
		if err := b.replace(root, string(m[1]), m[2], m[3]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	head, _, _ := strings.Cut(string(text), "file: ")
	for line := range strings.Lines(head) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "test":
			b.test = value
		case "in":
			b.in = value
		case "flags":
			b.flags = strings.Fields(value)
		case "want":
			if b.want, err = regexp.Compile(value); err != nil {
				return nil, fmt.Errorf("%s: want: %w", name, err)
			}
		default:
			b.about = append(b.about, strings.TrimSpace(line))
		}
	}
	if b.want == nil || len(b.files) == 0 {
		return nil, fmt.Errorf("%s: needs a line \"want: \" and a replacement", name)
	}
	return b, nil
}

func (b *bug) replace(root, file string, old, with []byte) error {
	text := b.files[file]
	if text == nil {
		var err error
		if text, err = os.ReadFile(filepath.Join(root, filepath.FromSlash(file))); err != nil {
			return err
		}
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	}
	if n := bytes.Count(text, old); n != 1 {
		return fmt.Errorf("%s has these lines %d times instead of once; the code has changed, so describe the bug anew:\n%s", file, n, old)
	}
	b.files[file] = bytes.Replace(text, old, with, 1)
	return nil
}

// overlay writes the files with the bug, and the file that go test takes.
func (b *bug) overlay(t *testing.T, root string) string {
	dir := t.TempDir()
	var replace struct{ Replace map[string]string }
	replace.Replace = map[string]string{}
	for file, text := range b.files {
		to := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		replace.Replace[filepath.Join(root, filepath.FromSlash(file))] = to
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(replace)
	if err == nil {
		err = os.WriteFile(name, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// find runs the simulation with the bug and says how many seeds it took.
func (b *bug) find(t *testing.T, root string, seeds int) string {
	args := []string{
		"test", "-overlay", b.overlay(t, root), "-vet=off", "-count", "1", "-v", "-timeout", bugTime.String(), "-run", "^" + b.test + "$", ".",
	}
	if b.flags == nil {
		args = append(args, "-sim.again", "0", "-sim.seeds", strconv.Itoa(max(seeds, 20_000)))
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, b.flags...)...)
	if b.in != "" {
		cmd.Dir = filepath.Join(root, filepath.FromSlash(b.in))
	}
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(begun).Round(100 * time.Millisecond)
	found := b.want.Find(out)
	switch {
	case err == nil:
		t.Fatalf("the simulation did not find the bug in %v:\n%s", took, out)
	case found == nil:
		t.Fatalf("the simulation found something, but not %q:\n%s", b.want, out)
	}
	return fmt.Sprintf("found after %s seeds, %v with the build: %s\n%s", seedsTaken(out), took, found, strings.TrimSpace(strings.Join(b.about, "\n")))
}

var (
	foundAfter = regexp.MustCompile(`found after (\d+) seeds`)
	crashedIn  = regexp.MustCompile(`"seed": "(\d+)"`)
)

// seedsTaken reads the number of seeds from the output. The seeds of such a run
// begin with 1, so that a crash's seed is their number.
func seedsTaken(out []byte) string {
	var all []int
	for _, m := range slices.Concat(foundAfter.FindAllSubmatch(out, -1), crashedIn.FindAllSubmatch(out, 1)) {
		if n, err := strconv.Atoi(string(m[1])); err == nil {
			all = append(all, n)
		}
	}
	if len(all) == 0 {
		return "an unknown number of"
	}
	return strconv.Itoa(slices.Min(all))
}
