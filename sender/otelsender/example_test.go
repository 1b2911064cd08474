package otelsender_test

import (
	"log"

	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/otelsender"
)

// The providers are those of the program, unless options name others.
func ExampleOpen() {
	s, err := sender.New(sender.WithTelemetry(otelsender.Open()))
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	// Output:
}

// The snippet of the package documentation.
var _ = snippet

func snippet() (*sender.Sender, error) {
	s, err := sender.New(sender.WithTelemetry(otelsender.Open()))
	return s, err
}
