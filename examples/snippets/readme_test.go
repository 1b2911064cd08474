package snippets

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/github"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// Declarations that the snippets use but do not show.
var (
	announce      = func(context.Context, string, string) error { return nil }
	announceEvent = func(context.Context, *payload.Event) error { return nil }
	page          = announceEvent
	ignore        = announceEvent
	schemes       = map[string]signer.Verifier{}
)

func Example_receiving() {
	os.Setenv("DEPLOYHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	fmt.Println(receiving())
	// Output: <nil>
}

func receiving() error {
	secret, err := signer.ParseSecret(os.Getenv("DEPLOYHOOK_SECRET")) // whsec_…
	if err != nil {
		return err
	}
	scheme, err := signer.NewStandard(secret)
	if err != nil {
		return err
	}
	store, err := dedupe.NewMemory()
	if err != nil {
		return err
	}
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks/deploy", rcv.Events(func(ctx context.Context, e *payload.Event) error {
		return announce(ctx, e.App, string(e.Type))
	}))

	routes, err := receiver.NewMux(
		receiver.Route("deploy.failed", page),
		receiver.Route("deploy.*", announceEvent),
		receiver.Route("*", ignore),
	)
	if err != nil {
		return err
	}
	mux.Handle("POST /webhooks/routed", rcv.Events(routes.Handle))

	tenants := receiver.PerRequest(func(r *http.Request) (string, signer.Verifier, error) {
		scheme, ok := schemes[r.PathValue("tenant")]
		if !ok {
			return "", nil, receiver.ErrUnknownTenant
		}
		return r.PathValue("tenant"), scheme, nil
	})
	webhookSecret := signer.GenerateLiteralSecret()
	verifier, err := github.NewVerifier(webhookSecret)
	if err != nil {
		return err
	}
	decode, err := github.NewDecoder(github.WithRollbacks())
	if err != nil {
		return err
	}
	gh, err := receiver.New(verifier, receiver.WithDedupe(store, "github"))
	if err != nil {
		return err
	}
	mux.Handle("POST /webhooks/github", gh.Records(decode, func(ctx context.Context, d *payload.Deployment) error {
		return announce(ctx, d.Service, string(d.Status))
	}))
	_, err = receiver.New(tenants, receiver.WithDedupe(store, "tenants"))
	return err
}

func Example_sending() {
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the snippet's host must not be called
	fmt.Println(sending(ctx, scheme))
	fmt.Println(guarded(ctx, scheme) != nil)
	// Output:
	// canceled
	// true
}

func sending(ctx context.Context, scheme signer.Signer) error {
	s, err := sender.New()
	if err != nil {
		return err
	}
	defer s.Close()

	receipt, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL("https://hooks.example.com/deploy"), Signer: scheme}, &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_a1b2c3d4",
		App: "api-service", Environment: "production", URL: "https://api.example.com",
	})
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s", receipt.Outcome)
}

func guarded(ctx context.Context, scheme signer.Signer) error {
	s, err := sender.New(
		sender.AllowNetworks(netip.MustParsePrefix("10.0.0.0/8")), // also allows plain http in this network
		sender.WithSchedule(sender.Platform),
	)
	if err != nil {
		return err
	}
	incidents := sender.Endpoint{URL: sender.NewURL("https://hooks.example.com/incidents"), Signer: scheme, Events: []string{"deploy.failed", "deploy.rolled_back"}}
	if err := s.Check(ctx, incidents); err != nil { // when a customer registers it
		return err
	}
	return nil
}

func Example_rotation() {
	current, previous := signer.GenerateSecret(), signer.GenerateSecret()
	cutover := time.Now().Add(24 * time.Hour)
	scheme, err := signer.NewStandard(current.Named("2026-11"), signer.WithKey(previous.Named("2026-05").NotAfter(cutover)))
	fmt.Println(scheme, err)
	// Output: signer.Standard <nil>
}
