package redisdedupe_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// Two instances of a service share one server. A delivery that one has handled
// is a duplicate for the other.
func Example() {
	// An embedded server replaces Redis.
	server, err := miniredis.Run()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	instance := func() (*redisdedupe.Store, *redis.Client) {
		client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
		store, err := redisdedupe.New(client, redisdedupe.WithTTL(72*time.Hour))
		if err != nil {
			fmt.Println(err)
		}
		return store, client
	}
	one, client := instance()
	defer client.Close()
	two, client := instance()
	defer client.Close()

	ctx, key := context.Background(), dedupe.NewKey("github", "acme", "whk_1")
	claim, err := one.Claim(ctx, key, time.Minute)
	fmt.Println("one:", claim.State, err)
	other, err := two.Claim(ctx, key, time.Minute)
	fmt.Println("two:", other.State, err)
	fmt.Println("one:", one.Complete(ctx, claim))
	other, err = two.Claim(ctx, key, time.Minute)
	fmt.Println("two:", other.State, err)
	// Output:
	// one: claimed <nil>
	// two: in-flight <nil>
	// one: <nil>
	// two: completed <nil>
}

// New refuses a client that would wait beyond its context's deadline.
func ExampleNew_contextTimeoutEnabled() {
	client := redis.NewClient(&redis.Options{Addr: "redis.internal:6379"})
	defer client.Close()
	_, err := redisdedupe.New(client)
	fmt.Println(errors.Is(err, redisdedupe.ErrConfig))
	fmt.Println(err)
	// Output:
	// true
	// redisdedupe: invalid configuration: the client ignores the deadline of a context; set ContextTimeoutEnabled to true in its options, also in options that redis.ParseURL returned
}

// The functions below are the snippets of the package documentation. They are
// compiled but not run.
var _ = []any{snippetReceiver, snippetCluster, snippetSentinel}

func snippetReceiver(ctx context.Context, scheme signer.Verifier, onEvent receiver.EventHandler) error {
	client := redis.NewClient(&redis.Options{
		Addr: "redis.internal:6379", ContextTimeoutEnabled: true,
	})
	store, err := redisdedupe.New(client)
	if err != nil {
		return err
	}
	if err := store.Ready(ctx); err != nil {
		return err // no connection, unsafe eviction, or missing rights
	}
	// scheme comes from package signer.
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/deploy", rcv.Events(onEvent))
	return nil
}

func snippetCluster() error {
	store, err := redisdedupe.New(redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                 []string{"node-1:6379", "node-2:6379"},
		ContextTimeoutEnabled: true,
	}))
	_ = store
	return err
}

func snippetSentinel() error {
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName:            "dedupe",
		SentinelAddrs:         []string{"sentinel-1:26379", "sentinel-2:26379"},
		ContextTimeoutEnabled: true,
	})
	store, err := redisdedupe.New(client)
	_ = store
	return err
}
