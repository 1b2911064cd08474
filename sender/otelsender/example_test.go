package otelsender_test

import (
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/otelsender"
)

// The function below is the snippet of the package documentation. It is
// compiled but not run.
var _ = snippet

func snippet() (*sender.Sender, error) {
	s, err := sender.New(sender.WithTelemetry(otelsender.Open()))
	return s, err
}
