package cdevents_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/cdevents"
	"github.com/deployhook/deployhook/sender/internal/formattest"
)

func TestCallbacks(t *testing.T) {
	t.Parallel()
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"WithArtifact": func(t *testing.T, f *callbacktest.Fault) {
			format, err := cdevents.New("https://ci.example", cdevents.WithArtifact(func(*payload.Event) string { f.Happen(); return "" }))
			require.NoError(t, err)
			formattest.Callback(t, f, format)
		},
	})
}
