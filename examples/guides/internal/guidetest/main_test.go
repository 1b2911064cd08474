package guidetest

import (
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
