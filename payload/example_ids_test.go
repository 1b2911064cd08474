package payload_test

import (
	"fmt"
	"strings"

	"github.com/deployhook/deployhook/payload"
)

// A delivery ID is new for each delivery to each endpoint. Package sender makes
// it by itself.
func ExampleNewDeliveryID() {
	one, two := payload.NewDeliveryID(), payload.NewDeliveryID()
	fmt.Println(strings.HasPrefix(one, "whk_"), len(one), one < two)
	// Output: true 36 true
}

// A deployment without a run of a pipeline, such as one by hand, gets an ID.
// All events of the deployment share it.
func ExampleNewDeploymentID() {
	id := payload.NewDeploymentID()
	fmt.Println(strings.HasPrefix(id, "dep_"), len(id))
	// Output: true 36
}
