package callbacktest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/callbacktest"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	names, err := callbacktest.Options("testdata/options")
	require.NoError(t, err)
	require.Equal(t, []string{
		"WithAny", "WithFunc", "WithFuncType", "WithHandlers", "WithInterface", "WithInterfaceType", "WithLogger", "WithStore",
	}, names)
	_, err = callbacktest.Options("testdata/unknown")
	require.ErrorContains(t, err, "cannot tell whether encoding/json.Decoder is a callback")
}

// Each package with an option that takes a callback tests how it handles a
// fault of the callback.
func TestEveryPackageHasCases(t *testing.T) {
	t.Parallel()
	dirs, err := callbacktest.Packages("../..")
	require.NoError(t, err)
	for _, dir := range dirs {
		tests, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		require.NoError(t, err)
		found := false
		for _, file := range tests {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			found = found || strings.Contains(string(text), `callbacktest.Run(t, ".",`)
		}
		if !found {
			t.Errorf("%s has options that take a callback and no test that calls callbacktest.Run", dir)
		}
	}
}
