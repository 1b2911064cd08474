package callbacktest_test

import (
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
