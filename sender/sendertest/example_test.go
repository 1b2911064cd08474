package sendertest_test

import (
	"fmt"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/sendertest"
)

func ExampleEvent() {
	e := sendertest.Event(payload.DeployRolledBack)
	fmt.Println(e.Type, e.Version, e.PreviousVersion, e.Validate())
	// Output: deploy.rolled_back 1.4.2 1.4.1 <nil>
}
