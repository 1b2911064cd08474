package payload_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
)

// update rewrites the golden files, as in go test ./payload -update. Read the
// difference before committing it.
var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { leaktest.Main(m) }

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	return data
}

// documents returns the documents of a directory by name.
func documents(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	docs := make(map[string][]byte)
	for _, name := range names {
		docs[strings.TrimSuffix(filepath.Base(name), ".json")] = readFile(t, name)
	}
	return docs
}

// requireGolden compares with a golden file, or writes it under -update.
func requireGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		require.NoError(t, os.WriteFile(file, append(got, '\n'), 0o644))
	}
	require.Equal(t, strings.TrimSuffix(string(readFile(t, file)), "\n"), string(got))
}

// replace replaces old, which must occur exactly once. Otherwise a test case
// could silently use the unchanged document.
func replace(t testing.TB, doc, old, replacement string) []byte {
	t.Helper()
	require.Equal(t, 1, strings.Count(doc, old), "%q in %s", old, doc)
	return []byte(strings.Replace(doc, old, replacement, 1))
}
