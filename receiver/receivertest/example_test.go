package receivertest_test

import (
	"fmt"

	"github.com/deployhook/deployhook/receiver/receivertest"
)

func ExampleEvents() {
	for _, e := range receivertest.Events() {
		fmt.Println(e.Type, e.Status)
	}
	// Output:
	// deploy.started in_progress
	// build.completed success
	// health_check.passed success
	// deploy.live success
	// deploy.failed failure
	// deploy.rolled_back rolled_back
}

func ExampleDeployments() {
	for _, d := range receivertest.Deployments() {
		fmt.Println(d.Status, !d.CompletedAt.IsZero())
	}
	// Output:
	// pending false
	// in_progress false
	// success true
	// failure true
	// cancelled true
	// rolled_back true
}
