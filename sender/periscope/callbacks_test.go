package periscope_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/periscope"
)

// The sender reports the fault as an error of the format, and sends nothing.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"WithStartTimes": func(t *testing.T, f *callbacktest.Fault) {
			format, err := periscope.New(periscope.WithStartTimes(func(string) (time.Time, bool) { f.Happen(); return time.Time{}, false }))
			require.NoError(t, err)
			s, err := sender.New()
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			ep := sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: sender.InsecureUnsigned(), BodyFormat: format}
			err = callbacktest.Outlives(t, f, func() error {
				_, err := s.Message(t.Context(), ep, &payload.Event{
					Type: payload.DeployLive, Timestamp: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC), DeploymentID: "dep_1", App: "api",
					Environment: "production", Version: "v1", URL: "https://api.example", Commit: &payload.Commit{SHA: "f4c8e2a"},
				})
				return err
			})
			if f.Kind == callbacktest.Hangs {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "BodyFormat")
			require.Equal(t, map[string]uint64{"Endpoint.BodyFormat": 1}, s.Faults())
		},
	})
}
