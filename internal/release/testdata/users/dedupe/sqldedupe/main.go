// A store on a SQLite file claims a delivery once, also after a restart.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
)

func main() {
	if err := run(context.Background(), "dedupe.db"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file string) error {
	for _, want := range []dedupe.State{dedupe.Claimed, dedupe.Completed} {
		if err := claim(ctx, file, want); err != nil {
			return err
		}
	}
	return nil
}

func claim(ctx context.Context, file string, want dedupe.State) error {
	store, err := sqldedupe.OpenSQLite(ctx, file)
	if err != nil {
		return err
	}
	defer store.Close()
	claim, err := store.Claim(ctx, dedupe.NewKey("outside", "acme", "whk_1"), time.Minute)
	if err != nil {
		return err
	}
	if claim.State != want {
		return fmt.Errorf("the claim is %v, want %v", claim.State, want)
	}
	if claim.State == dedupe.Claimed {
		return store.Complete(ctx, claim)
	}
	return nil
}
