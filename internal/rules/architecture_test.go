package rules

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pathInText matches a file or folder of this repository in backquotes, such as
// `receiver/serve.go` or `internal/sqldb`. Names with other characters in them
// are code or patterns.
var pathInText = regexp.MustCompile("`((?:payload|signer|dedupe|receiver|sender|examples|internal)(?:/[A-Za-z0-9_.-]+)*)/?`")

// TestArchitecture keeps the map in step with the tree: each file and folder
// that it names exists.
func TestArchitecture(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	require.NoError(t, err)
	found := pathInText.FindAllSubmatch(text, -1)
	require.Greater(t, len(found), 40, "the pattern no longer finds the names")
	for _, match := range found {
		name := string(match[1])
		_, err := os.Stat(filepath.Join(root, filepath.FromSlash(strings.TrimSuffix(name, "/"))))
		require.NoError(t, err, "ARCHITECTURE.md names %s; write the new place of what it describes", name)
	}
}
