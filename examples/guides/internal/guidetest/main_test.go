package guidetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deployhook/deployhook/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// A snippet is compared by whole lines, and an output by its texts.
func TestComparisons(t *testing.T) {
	t.Parallel()
	if flat("\t\tx := 1\n\n  y()\n") != "\nx := 1\ny()\n" {
		t.Error(flat("\t\tx := 1\n\n  y()\n"))
	}
	if masked("at 12:07   shop 3.5s") != "at 0:0 shop 0.0s" {
		t.Error(masked("at 12:07   shop 3.5s"))
	}
}

// Every guide has a page that the list of guides links, and both tests of it.
func TestGuides_AreComplete(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	programs, err := filepath.Glob(filepath.Join("..", "..", "*", "main.go"))
	if err != nil || len(programs) < 5 {
		t.Fatal("the test finds the guides", err, programs)
	}
	for _, program := range programs {
		dir := filepath.Dir(program)
		name := filepath.Base(dir)
		if !strings.Contains(string(list), "]("+name+")") {
			t.Errorf("examples/guides/README.md: add a row for %s", name)
		}
		for file, want := range map[string][]string{
			"README.md": {"```text\n", "go run ./examples/guides/" + name + "\n"}, "main_test.go": {"guidetest.CheckSnippets(t)", "guidetest.CheckOutput(t, "},
		} {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Error(err)
			}
			for _, part := range want {
				if !strings.Contains(string(text), part) {
					t.Errorf("examples/guides/%s/%s: add %q", name, file, part)
				}
			}
		}
	}
}
