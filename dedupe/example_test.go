package dedupe_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// A receiver does this for each delivery after verifying its signature.
func Example() {
	store, err := dedupe.NewMemory()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	deliver := func(ctx context.Context, id string, handle func(context.Context) error) error {
		claim, err := store.Claim(ctx, dedupe.NewKey("deploys", "acme", id), time.Minute)
		if err != nil {
			return err // 503: without a claim, handle nothing
		}
		switch claim.State {
		case dedupe.Completed:
			return errors.New("a duplicate") // 200
		case dedupe.InFlight:
			return errors.New("in flight") // 409, Retry-After: claim.RetryAfter
		}
		// The result must be recorded even if the sender disconnects.
		uncanceled := context.WithoutCancel(ctx)
		if err := handle(ctx); err != nil {
			// 500: a retry can run at once.
			return errors.Join(err, store.Release(uncanceled, claim))
		}
		return store.Complete(uncanceled, claim)
	}

	crash := func(context.Context) error { return errors.New("handler failed") }
	work := func(context.Context) error { fmt.Println("handled"); return nil }
	ctx := context.Background()
	fmt.Println(deliver(ctx, "whk_1", crash))
	fmt.Println(deliver(ctx, "whk_1", work))
	fmt.Println(deliver(ctx, "whk_1", work))
	// Output:
	// handler failed
	// handled
	// <nil>
	// a duplicate
}
