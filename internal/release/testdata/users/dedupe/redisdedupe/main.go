// A store claims a delivery once. Without a server it fails closed.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	server := os.Getenv("DEPLOYHOOK_TEST_REDIS")
	options, err := redis.ParseURL(server)
	if server == "" {
		if os.Getenv("DEPLOYHOOK_TEST_REQUIRE_SERVICES") == "1" {
			return fmt.Errorf("no server: set DEPLOYHOOK_TEST_REDIS to the URL of one")
		}
		// Port 1 has no listener.
		options, err = &redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1}, nil
	}
	if err != nil {
		return err
	}
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(options)
	defer client.Close()
	store, err := redisdedupe.New(client, redisdedupe.WithTTL(time.Hour))
	if err != nil {
		return err
	}
	key := dedupe.NewKey("outside", "acme", fmt.Sprintf("whk_%d", time.Now().UnixNano()))
	claim, err := store.Claim(ctx, key, time.Minute)
	if server == "" {
		if err == nil {
			return fmt.Errorf("a claim succeeded without a server")
		}
		return nil
	}
	if err != nil {
		return err
	}
	if err := store.Complete(ctx, claim); err != nil {
		return err
	}
	again, err := store.Claim(ctx, key, time.Minute)
	if err != nil {
		return err
	}
	if claim.State != dedupe.Claimed || again.State != dedupe.Completed {
		return fmt.Errorf("the claims were %v and %v", claim.State, again.State)
	}
	return nil
}
