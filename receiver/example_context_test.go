package receiver_test

import (
	"context"
	"fmt"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
)

// A test calls a handler that reads the delivery from its context.
func ExampleNewContext() {
	handler := func(ctx context.Context, e *payload.Event) error {
		d, _ := receiver.FromContext(ctx)
		fmt.Println(e.App, "by delivery", d.ID)
		return nil
	}
	ctx := receiver.NewContext(context.Background(), &receiver.Delivery{ID: "whk_1"})
	fmt.Println(handler(ctx, &payload.Event{App: "shop"}))
	// Output:
	// shop by delivery whk_1
	// <nil>
}
