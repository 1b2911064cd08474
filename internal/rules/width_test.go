package rules

import (
	"go/parser"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

// width is how many characters a line of a comment has at most, without the
// tabs in front of it.
const width = 80

// Words that can't be broken, such as addresses, may be longer. So may code and
// tables, which gofmt indents by a tab.
var unbreakable = regexp.MustCompile(`^//(\t|\s*\S+$|go:|nolint|lint:)|://`)

// exampleOutput matches the comment line from which an example's output starts.
var exampleOutput = regexp.MustCompile(`^//\s*(Unordered output|Output):`)

func TestCommentsAreWrapped(t *testing.T) {
	t.Parallel()
	eachFile(t, parser.ParseComments, func(f *file) {
		for _, line := range tooWide(f) {
			t.Errorf("%s:%d: wrap the comment at %d columns", f.name, line, width)
		}
	})
}

// tooWide returns the numbers of the lines that have a comment of their own
// which is too wide. A comment after code belongs to the code. The output of an
// example has the lines that the example prints.
func tooWide(f *file) (found []int) {
	output := false
	for i, line := range strings.Split(f.text, "\n") {
		line = strings.TrimLeft(line, "\t")
		output = strings.HasPrefix(line, "//") && (output || exampleOutput.MatchString(line))
		if strings.HasPrefix(line, "//") && !output && utf8.RuneCountInString(line) > width && !unbreakable.MatchString(line) {
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
		"// Output:\n// " + strings.Repeat("word ", 20):          false,
		"// Output:\n\n// " + strings.Repeat("word ", 20):        true,
	} {
		f := parse(t, "x.go", "package x\n\n"+line+"\n", parser.ParseComments)
		assert.Equal(t, found, len(tooWide(f)) == 1, line)
	}
}
