package ci_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload/ci"
)

// The documents tell how many systems there are, and the package documentation
// lists them.
func TestDocumentsKnowEverySystem(t *testing.T) {
	t.Parallel()
	systems := ci.Systems()
	// The message alone tells what to do, so it does not repeat the text.
	has := func(name, want, message string) {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.True(t, strings.Contains(string(text), want), message)
	}
	has("doc.go", fmt.Sprintf("knows %d systems", len(systems)), "payload/ci/doc.go: correct the number of systems")
	for _, row := range systems {
		word, _, _ := strings.Cut(row.Name, " ")
		has("doc.go", word, "payload/ci/doc.go: add "+row.Name+" to the list of systems")
	}
	for _, name := range []string{"README.md", "CHANGELOG.md"} {
		has("../../"+name, fmt.Sprintf("%d CI systems", len(systems)), name+": correct the number of CI systems")
	}
}
