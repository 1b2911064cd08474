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
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// The functions below are only compiled. The packages' own examples run the
// same code.
var _ = []any{signerDoc, signerRotation, receiverDoc, receiverMux, senderDoc, dedupeDoc, payloadDoc, deploymentsDoc, doraDoc}

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
	key := dedupe.NewKey("deploys", "acme", id)
	claim, err := store.Claim(ctx, key, time.Minute)
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

func payloadDoc(body []byte) error {
	event, err := payload.DecodeEvent(body)
	if err != nil {
		return err // Invalid payload: …
	}
	switch event.Type {
	case payload.DeployLive:
		fmt.Println(event.App, event.Version, "is live in", event.Environment)
	case payload.DeployFailed:
		fmt.Printf("%s failed: %s\n", event.App, event.Error)
	}
	return nil
}

func deploymentsDoc(keys signer.Verifier) error {
	ledger, err := deployments.NewMemoryLedger() // or sqlledger.OpenSQLite
	if err != nil {
		return err
	}
	endpoint, err := deployments.New(keys, ledger) // keys from signer.NewAPIKeys
	if err != nil {
		return err
	}
	http.Handle("POST /api/webhooks/deployments", endpoint)
	return nil
}

func doraDoc(ctx context.Context, ledger *deployments.MemoryLedger, linker dora.Commits) error {
	w, err := dora.NewWindow("Europe/Berlin", "2026-01-01", "2026-04-01")
	if err != nil {
		return err
	}
	calculator, err := dora.New(ledger, dora.WithCommits(linker)) // of package gitlinker
	if err != nil {
		return err
	}
	reports, err := calculator.Reports(ctx, "acme", w)
	_ = reports
	return err
}
