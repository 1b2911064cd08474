package periscope_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/sender/internal/formattest"
	"github.com/deployhook/deployhook/sender/periscope"
)

func TestCallbacks(t *testing.T) {
	t.Parallel()
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"WithStartTimes": func(t *testing.T, f *callbacktest.Fault) {
			format, err := periscope.New(periscope.WithStartTimes(func(string) (time.Time, bool) { f.Happen(); return time.Time{}, false }))
			require.NoError(t, err)
			formattest.Callback(t, f, format)
		},
	})
}
