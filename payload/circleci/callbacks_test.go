package circleci_test

import (
	"context"
	"testing"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/internal/callbacktest/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/circleci"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/receiver"
)

func TestCallbacks(t *testing.T) {
	t.Parallel()
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"WithComplete": sourcetest.Complete(inboundtest.Read(t, "workflow_github.json"),
			func(complete func(context.Context, *payload.Deployment) error) (receiver.RecordDecoder, error) {
				return circleci.NewDecoder(circleci.WithEnvironment("production"), circleci.WithComplete(complete))
			}),
	})
}
