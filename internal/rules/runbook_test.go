package rules

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	span       = regexp.MustCompile("`([^`]+)`")
	metricName = regexp.MustCompile("`(deployhook\\.[a-z._]+)`")
)

// literals returns all texts of the code, without tests. A concatenation is one
// text.
func literals(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	eachFile(t, 0, func(f *file) {
		if strings.HasSuffix(f.name, "_test.go") || strings.HasPrefix(f.name, "internal/rules/") {
			return
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if text, ok := constant(n); ok {
				all.WriteString(text + "\n")
			}
			return true
		})
	})
	return all.String()
}

// constant returns the text of a literal, or of a sum of literals.
func constant(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.BasicLit:
		if n.Kind == token.STRING {
			text, err := strconv.Unquote(n.Value)
			return text, err == nil
		}
	case *ast.BinaryExpr:
		left, ok := constant(n.X)
		right, also := constant(n.Y)
		return left + right, ok && also
	}
	return "", false
}

// What the runbook tells people to look for exists in the code.
func TestRunbook_NamesWhatExists(t *testing.T) {
	t.Parallel()
	code := literals(t)
	lines, metrics := 0, 0
	symptoms := false
	for line := range strings.Lines(read(t, ".github/RUNBOOK.md")) {
		if strings.HasPrefix(line, "| ") {
			symptoms = symptoms || strings.HasPrefix(line, "| you see |")
		} else if !strings.HasPrefix(line, "|") {
			symptoms = false
		}
		for _, m := range metricName.FindAllStringSubmatch(line, -1) {
			metrics++
			if !strings.Contains(code, m[1]+"\n") {
				t.Errorf(".github/RUNBOOK.md: the code has no metric %s", m[1])
			}
		}
		if !symptoms {
			continue
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for _, m := range span.FindAllStringSubmatch(first, -1) {
			lines++
			if !strings.Contains(code, m[1]) {
				t.Errorf(".github/RUNBOOK.md: the code has no text %q", m[1])
			}
		}
	}
	require.Greater(t, lines, 40, "the test finds the symptoms")
	require.Greater(t, metrics, 10, "the test finds the metrics")
	for _, page := range []string{"README.md", "ARCHITECTURE.md"} {
		require.True(t, strings.Contains(read(t, page), "(.github/RUNBOOK.md)"), "%s does not link the runbook", page)
	}
}
