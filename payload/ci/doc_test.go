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
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	assert.Contains(t, string(text), fmt.Sprintf("knows %d systems", len(systems)), "payload/ci/doc.go: correct the number")
	for _, row := range systems {
		word, _, _ := strings.Cut(row.Name, " ")
		assert.Contains(t, string(text), word, "payload/ci/doc.go: add %s to the list of systems", row.Name)
	}
	for _, name := range []string{"README.md", "CHANGELOG.md"} {
		text, err := os.ReadFile("../../" + name)
		require.NoError(t, err)
		assert.Contains(t, string(text), fmt.Sprintf("%d CI systems", len(systems)), "%s: correct the number of CI systems", name)
	}
}
