package sender_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// unready is a receiver that needs two more attempts.
func unready() *httptest.Server {
	attempts := 0
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if attempts++; attempts < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
}

func ExampleSender_Send() {
	server := unready()
	defer server.Close()
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		log.Fatal(err)
	}
	s, err := sender.New(
		// The example's server is on this machine. In production, leave this out.
		sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")),
		sender.WithSchedule(sender.Scaled(sender.Pipeline, 0.001)),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	receipt, err := s.Send(context.Background(), sender.Endpoint{URL: sender.NewURL(server.URL), Signer: scheme}, &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_a1b2c3d4", App: "api-service", Environment: "production",
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, a := range receipt.Attempts {
		fmt.Println(a.Number, a.Status, a.Outcome)
	}
	fmt.Println(receipt.Outcome)
	// Output:
	// 1 503 failed
	// 2 503 failed
	// 3 200 delivered
	// delivered
}

// A queue that survives a crash keeps the message and calls Attempt.
func ExampleSender_Attempt() {
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }))
	defer gone.Close()
	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		log.Fatal(err)
	}

	a := s.Attempt(context.Background(), sender.Endpoint{URL: sender.NewURL(gone.URL), Signer: scheme}, sender.Message{
		ID: payload.NewDeliveryID(), Type: payload.DeployLive, Body: []byte(`{"event":"deploy.live"}`),
	})
	switch a.Outcome {
	case sender.Delivered:
		fmt.Println("done")
	case sender.Failed:
		fmt.Println("again, no sooner than in", a.RetryAfter)
	case sender.Gone:
		fmt.Println("disable the endpoint")
	default:
		fmt.Println("ask an operator:", a.Err)
	}
	// Output: disable the endpoint
}

// The check for the form in which a customer enters an endpoint.
func ExampleSender_Check() {
	s, err := sender.New()
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		log.Fatal(err)
	}

	err = s.Check(context.Background(), sender.Endpoint{
		URL: sender.NewURL("https://169.254.169.254/latest/meta-data"), Signer: scheme, Events: []string{"deploy.faild"},
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, sender.ErrForbiddenAddress))
	// Output:
	// sender: refused by policy: forbidden address: Endpoint.URL: https://169.254.169.254: 169.254.169.254 is not a public address; AllowNetworks would open it
	// sender: refused by policy: Endpoint.Events: pattern "deploy.faild" matches no known type; did you mean "deploy.failed"? The types are deploy.started, build.completed, health_check.passed, deploy.live, deploy.failed, deploy.rolled_back (a type of your own that is spelled like this must be declared with WithEventTypes)
	// true
}

// One endpoint gets what fails, another everything.
func ExampleEndpoint_Accepts() {
	incidents := sender.Endpoint{Events: []string{"deploy.failed", "deploy.rolled_back"}}
	archive := sender.Endpoint{}
	for _, t := range []payload.Type{payload.DeployLive, payload.DeployFailed} {
		fmt.Println(t, incidents.Accepts(t), archive.Accepts(t))
	}
	// Output:
	// deploy.live false true
	// deploy.failed true true
}
