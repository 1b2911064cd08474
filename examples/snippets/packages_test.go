package snippets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// The functions below are compiled and not run: the packages' own examples run the same code with an output.
var _ = []any{signerDoc, signerRotation, receiverDoc, receiverMux, receiverTracing, senderDoc, dedupeDoc, payloadDoc}

func signerDoc(ctx context.Context, request *http.Request, deliveryID string, body []byte) (err error) {
	secret, err := signer.ParseSecret(os.Getenv("DEPLOYHOOK_SECRET")) // whsec_…
	if err != nil {
		return err
	}
	scheme, err := signer.NewStandard(secret)
	if err != nil {
		return err
	}
	if err := scheme.Sign(ctx, request, deliveryID, time.Now(), body); err != nil { // sets three headers
		return err
	}
	verified, err := scheme.Verify(request, body) // ID, time, principal, key
	_ = verified
	return err
}

func signerRotation(current, previous signer.Secret, cutover time.Time) error {
	scheme, err := signer.NewStandard(current, signer.WithKey(previous.NotAfter(cutover)))
	_ = scheme
	return err
}

func receiverDoc(scheme signer.Verifier) error {
	announce := func(context.Context, string, payload.Type) error { return nil }
	store, err := dedupe.NewMemory()
	if err != nil {
		return err
	}
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform")) // scheme from package signer
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/deploy", rcv.Events(func(ctx context.Context, e *payload.Event) error {
		return announce(ctx, e.App, e.Type)
	}))
	return nil
}

func receiverMux(rcv *receiver.Receiver, mux *receiver.Mux) {
	http.Handle("POST /webhooks/deploy", rcv.Events(mux.Handle))
}

func receiverTracing(rcv *receiver.Receiver, onEvent receiver.EventHandler) {
	http.Handle("POST /webhooks/deploy", otelhttp.NewHandler(rcv.Events(onEvent), "deploy webhook"))
}

func senderDoc(ctx context.Context, url string, scheme signer.Signer, event *payload.Event) error {
	s, err := sender.New()
	if err != nil {
		return err
	}
	defer s.Close()
	receipt, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL(url), Signer: scheme}, event)
	if err != nil {
		return err // says how many attempts there were and what the last one ran into
	}
	fmt.Println(receipt.Outcome, receipt.ID)
	return nil
}

func dedupeDoc(ctx context.Context, id string, handle func(context.Context) error) error {
	store, err := dedupe.NewMemory()
	if err != nil {
		return err
	}
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

func payloadDoc(body []byte) error {
	event, err := payload.DecodeEvent(body)
	if err != nil {
		return err // Invalid payload: error is required when event is deploy.failed
	}
	switch event.Type {
	case payload.DeployLive:
		fmt.Printf("%s %s is live in %s\n", event.App, event.Version, event.Environment)
	case payload.DeployFailed:
		fmt.Printf("%s failed: %s\n", event.App, event.Error)
	}
	return nil
}

// otelhttp has the shape of OpenTelemetry's package, which is not worth a dependency here.
var otelhttp otel

type otel struct{}

func (otel) NewHandler(h http.Handler, _ string) http.Handler { return h }
