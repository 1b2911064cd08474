package rules

import (
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// evidence is a link from a page to a test that shows what the page says.
var evidence = regexp.MustCompile("\\[`((?:Test|Fuzz|Example)\\w*)`\\]\\(([^)]+)\\)")

// Every test that a page names as evidence exists.
func TestEvidence_Exists(t *testing.T) {
	t.Parallel()
	found := 0
	for name, text := range pages(t) {
		for _, m := range evidence.FindAllStringSubmatch(text, -1) {
			found++
			file := path.Join(path.Dir(name), m[2])
			if !exists(file) || !strings.Contains(read(t, file), "\nfunc "+m[1]+"(") {
				t.Errorf("%s: %s has no %s; name the test that shows this now", name, file, m[1])
			}
		}
	}
	require.Greater(t, found, 100, "the test finds the links")
}

// Every promise of the threat model has evidence.
func TestThreatModel_EveryPromiseHasATest(t *testing.T) {
	t.Parallel()
	promises, inTable := 0, false
	for line := range strings.Lines(read(t, "examples/guides/pages/THREATMODEL.md")) {
		switch {
		case strings.HasPrefix(line, "| promise | shown by |"):
			inTable = true
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case inTable && !strings.HasPrefix(line, "|---"):
			promises++
			if !evidence.MatchString(line) {
				t.Errorf("examples/guides/pages/THREATMODEL.md: name a test that shows this: %s", line)
			}
		}
	}
	require.Greater(t, promises, 40, "the test finds the promises")
}
