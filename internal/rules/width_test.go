package rules

import (
	"go/parser"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

// width is how many characters a line of a comment has at most, without the tabs
// in front of it.
const width = 80

// unwrapped are the folders whose comments are not wrapped yet. A folder includes
// the folders below it. Take a folder off the list when its comments are wrapped,
// and add none.
var unwrapped = []string{
	"receiver/deployments/dora", "sender",
}

// Words that can't be broken, such as addresses, may be longer. So may code and
// tables, which gofmt indents by a tab.
var unbreakable = regexp.MustCompile(`^//(\t|\s*\S+$|go:|nolint|lint:)|://`)

func TestCommentsAreWrapped(t *testing.T) {
	t.Parallel()
	eachFile(t, parser.ParseComments, func(f *file) {
		if strings.HasSuffix(f.name, "_test.go") || slices.ContainsFunc(unwrapped, f.isBelow) {
			return
		}
		for _, line := range tooWide(f) {
			t.Errorf("%s:%d: wrap the comment at %d columns", f.name, line, width)
		}
	})
}

// tooWide returns the numbers of the lines that have a comment of their own which
// is too wide. A comment after code belongs to the code.
func tooWide(f *file) (found []int) {
	for i, line := range strings.Split(f.text, "\n") {
		line = strings.TrimLeft(line, "\t")
		if strings.HasPrefix(line, "//") && utf8.RuneCountInString(line) > width && !unbreakable.MatchString(line) {
			found = append(found, i+1)
		}
	}
	return found
}

func TestTooWide(t *testing.T) {
	t.Parallel()
	for line, found := range map[string]bool{
		"// " + strings.Repeat("word ", 15) + "ab":               false,
		"// " + strings.Repeat("wörd ", 15) + "ab":               false,
		"// " + strings.Repeat("word ", 15) + "abc":              true,
		"\t\t// " + strings.Repeat("word ", 15) + "ab":           false,
		"\t// " + strings.Repeat("word ", 15) + "abc":            true,
		"//\t" + strings.Repeat("word ", 20):                     false,
		"// " + strings.Repeat("x", 100):                         false,
		"// see https://example.com/" + strings.Repeat("x", 100): false,
		"var x = 1 // " + strings.Repeat("word ", 20):            false,
	} {
		f := parse(t, "x.go", "package x\n\n"+line+"\n", parser.ParseComments)
		assert.Equal(t, found, len(tooWide(f)) == 1, line)
	}
}
