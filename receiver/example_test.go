package receiver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

var quiet = receiver.WithLogger(slog.New(slog.DiscardHandler))

// post acts as a sender. It signs a body and prints the answer.
func post(h http.Handler, s signer.Signer, id, body string) {
	r := httptest.NewRequest(http.MethodPost, "/webhooks/deploy", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if err := s.Sign(r.Context(), r, id, time.Now(), []byte(body)); err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
}

func Example() {
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := dedupe.NewMemory()
	if err != nil {
		fmt.Println(err)
		return
	}
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"), quiet)
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := rcv.Events(func(ctx context.Context, e *payload.Event) error {
		d, _ := receiver.FromContext(ctx)
		fmt.Println("handling", e.Type, "of", e.App, "as", d.ID)
		return nil
	})

	event := `{"event":"deploy.started","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_a1b2c3d4","app":"api-service"}`
	post(handler, scheme, "whk_1", event)
	post(handler, scheme, "whk_1", event)
	// Output:
	// handling deploy.started of api-service as whk_1
	// 200 {"received":true}
	// 200 {"received":true,"duplicate":true}
}

// The steps that a request passes, in order. Each line below reaches one step
// further than the line before.
func ExampleReceiver_order() {
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		fmt.Println(err)
		return
	}
	memory, err := dedupe.NewMemory()
	if err != nil {
		fmt.Println(err)
		return
	}
	rcv, err := receiver.New(tracedVerifier{scheme}, receiver.WithDedupe(tracedStore{memory}, "platform"), quiet)
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := rcv.Events(func(_ context.Context, e *payload.Event) error {
		fmt.Println("handle")
		if e.App == "fails" {
			return errors.New("no")
		}
		return nil
	})
	post(handler, scheme, "whk_1", `{"event":"deploy.started","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_1","app":"api"}`)
	post(handler, scheme, "whk_2", `{"event":"deploy.started","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_1","app":"fails"}`)
	post(handler, scheme, "whk_3", `{"event":"deploy.started"}`)
	// Output:
	// verify
	// claim
	// handle
	// complete
	// 200 {"received":true}
	// verify
	// claim
	// handle
	// release
	// 500 {"error":"Delivery was not handled"}
	// verify
	// 400 {"error":"Invalid payload: timestamp is required; deployment_id is required; app is required when event is deploy.started"}
}

type tracedVerifier struct{ signer.Verifier }

func (v tracedVerifier) Verify(r *http.Request, body []byte) (signer.Verified, error) {
	fmt.Println("verify")
	return v.Verifier.Verify(r, body)
}

type tracedStore struct{ dedupe.Store }

func (s tracedStore) Claim(ctx context.Context, k dedupe.Key, lease time.Duration) (dedupe.Claim, error) {
	fmt.Println("claim")
	return s.Store.Claim(ctx, k, lease)
}

func (s tracedStore) Complete(ctx context.Context, c dedupe.Claim) error {
	fmt.Println("complete")
	return s.Store.Complete(ctx, c)
}

func (s tracedStore) Release(ctx context.Context, c dedupe.Claim) error {
	fmt.Println("release")
	return s.Store.Release(ctx, c)
}

func ExampleReceiver_Wrap() {
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		fmt.Println(err)
		return
	}
	rcv, err := receiver.New(scheme, receiver.InsecureNoDedupe(), quiet)
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := rcv.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body) // the verified bytes
		if err != nil {
			http.Error(w, "body", http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "%d bytes", len(body))
	}))
	post(handler, scheme, "whk_1", `{"any":"json"}`)
	// Output: 202 14 bytes
}

func ExampleNewMux() {
	print := func(name string) receiver.EventHandler {
		return func(_ context.Context, e *payload.Event) error {
			fmt.Println(e.Type, "->", name)
			return nil
		}
	}
	mux, err := receiver.NewMux(
		receiver.Route("*", print("everything else")),
		receiver.Route("deploy.*", print("the channel")),
		receiver.Route("deploy.failed", print("the pager")),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range []payload.Type{payload.DeployFailed, payload.DeployLive, payload.BuildCompleted} {
		if err := mux.Handle(context.Background(), &payload.Event{Type: t}); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// deploy.failed -> the pager
	// deploy.live -> the channel
	// build.completed -> everything else
}
