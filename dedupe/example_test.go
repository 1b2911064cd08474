package dedupe_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// What a receiver does with each delivery, once its signature has been verified.
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
			return err // 503: nothing is handled that could not be remembered
		}
		switch claim.State {
		case dedupe.Completed:
			return errors.New("a duplicate") // 200
		case dedupe.InFlight:
			return errors.New("in flight") // 409, Retry-After: claim.RetryAfter
		}
		// What has been done must be recorded even if the sender hangs up.
		owed := context.WithoutCancel(ctx)
		if err := handle(ctx); err != nil {
			return errors.Join(err, store.Release(owed, claim)) // 500: a retry runs at once
		}
		return store.Complete(owed, claim)
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
