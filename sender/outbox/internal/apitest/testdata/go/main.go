// This program walks through the management API as a customer would, with the
// client that oapi-codegen generates from the OpenAPI document. The test
// generates package api before it builds the program.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"example.com/client/api"
)

const (
	endpoints  = 10
	deliveries = 1000
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	w := &walk{app: os.Getenv("APP"), target: os.Getenv("TARGET")}
	if err := w.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type walk struct {
	*api.ClientWithResponses

	app, target string
	first       api.Endpoint // the first endpoint that was made
	secret      string
	etag        string
}

func (w *walk) run(ctx context.Context) (err error) {
	authorize := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))
		return nil
	}
	if w.ClientWithResponses, err = api.NewClientWithResponses(os.Getenv("API"), api.WithRequestEditorFn(authorize)); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{w.create, w.update, w.publish, w.attempts, w.rotate, w.replay, w.pages, w.problems} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"endpoint": w.first.Id, "secret": w.secret})
}

// unexpected says what the API has answered instead.
func unexpected(what string, r *http.Response, body []byte) error {
	return fmt.Errorf("%s: %s: %s", what, r.Status, body)
}

// create makes the endpoints. A repetition makes none.
func (w *walk) create(ctx context.Context) error {
	for i := range endpoints {
		key := fmt.Sprintf("go-%d", i)
		body := api.NewEndpoint{Url: fmt.Sprintf("%s/%s/%d", w.target, w.app, i), Events: &[]string{"deploy.*"}, Metadata: &map[string]string{"made": "by Go"}}
		for attempt := range 2 {
			r, err := w.CreateEndpointWithResponse(ctx, w.app, &api.CreateEndpointParams{IdempotencyKey: &key}, body)
			if err != nil {
				return err
			}
			switch made := r.JSON201; {
			case made == nil:
				return unexpected("creating", r.HTTPResponse, r.Body)
			case (made.Secret != nil) != (attempt == 0):
				return fmt.Errorf("attempt %d: secret shown: %t", attempt, made.Secret != nil)
			case i == 0 && attempt == 0:
				w.first, w.secret, w.etag = made.Endpoint, *made.Secret, r.HTTPResponse.Header.Get("ETag")
			case i == 0 && made.Endpoint.Id != w.first.Id:
				return errors.New("the repetition made another endpoint")
			}
		}
	}
	list, err := w.ListEndpointsWithResponse(ctx, w.app, nil)
	if err != nil {
		return err
	}
	if list.JSON200 == nil || len(list.JSON200.Items) != endpoints {
		return unexpected("listing endpoints", list.HTTPResponse, list.Body)
	}
	return nil
}

// update changes the first endpoint. The second change is for an old version.
func (w *walk) update(ctx context.Context) error {
	text := "checkout"
	for _, want := range []int{200, 412} {
		r, err := w.UpdateEndpointWithResponse(ctx, w.app, w.first.Id, &api.UpdateEndpointParams{IfMatch: &w.etag}, api.EndpointUpdate{Description: &text})
		switch {
		case err != nil:
			return err
		case r.StatusCode() != want:
			return unexpected("updating", r.HTTPResponse, r.Body)
		case want == 200 && r.JSON200.Description != text:
			return unexpected("updating", r.HTTPResponse, r.Body)
		case want == 412 && r.ApplicationproblemJSON412.Code != "endpoint_changed":
			return unexpected("updating", r.HTTPResponse, r.Body)
		}
	}
	return nil
}

// publish makes the platform publish events. This is not a part of the API.
func (w *walk) publish(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, os.Getenv("PUBLISH"), strings.NewReader(os.Getenv("PUBLISH_BODY")))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = unexpected("publishing", answer, text)
	}
	return err
}

// live waits for a delivery of deploy.live to the first endpoint.
func (w *walk) live(ctx context.Context) (api.Delivery, error) {
	kind, state := "deploy.live", api.StateFilter{"delivered"}
	for {
		r, err := w.ListDeliveriesWithResponse(ctx, w.app, &api.ListDeliveriesParams{Endpoint: &w.first.Id, Type: &kind, State: &state})
		switch {
		case err != nil:
			return api.Delivery{}, err
		case r.JSON200 == nil:
			return api.Delivery{}, unexpected("listing", r.HTTPResponse, r.Body)
		case len(r.JSON200.Items) > 0:
			return r.JSON200.Items[0], nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// attempts reads the attempts of a delivery.
func (w *walk) attempts(ctx context.Context) error {
	d, err := w.live(ctx)
	if err != nil {
		return err
	}
	r, err := w.GetDeliveryWithResponse(ctx, w.app, d.Id)
	if err != nil {
		return err
	}
	if r.JSON200 == nil || r.JSON200.Body == nil || len(r.JSON200.AttemptLog) != 1 || *r.JSON200.AttemptLog[0].Status != 200 {
		return unexpected("reading attempts", r.HTTPResponse, r.Body)
	}
	return nil
}

func (w *walk) rotate(ctx context.Context) error {
	grace := 3600.0
	r, err := w.RotateSecretWithResponse(ctx, w.app, w.first.Id, api.RotateRequest{GraceSeconds: &grace})
	if err != nil {
		return err
	}
	if r.JSON200 == nil || r.JSON200.Secret == nil || *r.JSON200.Secret == w.secret {
		return unexpected("rotating", r.HTTPResponse, r.Body)
	}
	w.secret = *r.JSON200.Secret
	return nil
}

// replay sends the delivery again and waits until it has arrived.
func (w *walk) replay(ctx context.Context) error {
	d, err := w.live(ctx)
	if err != nil {
		return err
	}
	filter := &api.ReplayFilter{
		Endpoint: &w.first.Id, EventId: &d.EventId, States: &[]api.FinishedState{api.FinishedStateDelivered},
	}
	count, err := w.CountReplayWithResponse(ctx, w.app, api.ReplayCountRequest{Filter: filter})
	if err != nil {
		return err
	}
	if count.JSON200 == nil || count.JSON200.Deliveries.N != 1 {
		return unexpected("counting", count.HTTPResponse, count.Body)
	}
	started, err := w.StartReplayWithResponse(ctx, w.app, api.ReplayRequest{Filter: filter})
	if err != nil {
		return err
	}
	if started.JSON202 == nil {
		return unexpected("replaying", started.HTTPResponse, started.Body)
	}
	for {
		r, err := w.GetReplayWithResponse(ctx, w.app, started.JSON202.Id)
		if err != nil {
			return err
		}
		if r.JSON200 == nil {
			return unexpected("reading the replay", r.HTTPResponse, r.Body)
		}
		if r.JSON200.Complete && r.JSON200.Delivered == 1 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	again, err := w.GetDeliveryWithResponse(ctx, w.app, d.Id)
	if err != nil {
		return err
	}
	if again.JSON200 == nil || again.JSON200.Replays != 1 || len(again.JSON200.AttemptLog) != 2 {
		return unexpected("reading after the replay", again.HTTPResponse, again.Body)
	}
	return nil
}

// page collects the IDs of all deliveries.
func (w *walk) page(ctx context.Context) (map[string]bool, error) {
	seen, limit := map[string]bool{}, 90
	for p := (&api.ListDeliveriesParams{Limit: &limit}); ; {
		r, err := w.ListDeliveriesWithResponse(ctx, w.app, p)
		if err != nil {
			return nil, err
		}
		if r.JSON200 == nil {
			return nil, unexpected("listing", r.HTTPResponse, r.Body)
		}
		for _, d := range r.JSON200.Items {
			if seen[d.Id] {
				return nil, fmt.Errorf("%s is on two pages", d.Id)
			}
			seen[d.Id] = true
		}
		if p.Cursor = r.JSON200.Next; p.Cursor == nil {
			return seen, nil
		}
	}
}

// pages pages through all deliveries. Tests of endpoints add what is missing.
func (w *walk) pages(ctx context.Context) error {
	before, err := w.page(ctx)
	if err != nil {
		return err
	}
	var (
		callers sync.WaitGroup
		queue   = make(chan int)
		faults  = make(chan error, deliveries)
		tested  sync.Map
	)
	for range 8 {
		callers.Go(func() {
			for range queue {
				r, err := w.TestEndpointWithResponse(ctx, w.app, w.first.Id)
				switch {
				case err != nil:
					faults <- err
				case r.JSON200 == nil:
					faults <- unexpected("testing", r.HTTPResponse, r.Body)
				default:
					tested.Store(r.JSON200.Id, true)
				}
			}
		})
	}
	for i := range deliveries - len(before) {
		queue <- i
	}
	close(queue)
	callers.Wait()
	close(faults)
	for err := range faults {
		return err
	}
	all, err := w.page(ctx)
	if err != nil {
		return err
	}
	tested.Range(func(id, _ any) bool { before[id.(string)] = true; return true })
	for id := range before {
		if !all[id] {
			return fmt.Errorf("no page has %s", id)
		}
	}
	if len(all) != deliveries {
		return fmt.Errorf("%d deliveries, want %d", len(all), deliveries)
	}
	return nil
}

// problems reads the codes of errors.
func (w *walk) problems(ctx context.Context) error {
	r, err := w.GetDeliveryWithResponse(ctx, w.app, "whk_unknown")
	if err != nil {
		return err
	}
	if r.ApplicationproblemJSON404 == nil || r.ApplicationproblemJSON404.Code != "unknown_delivery" {
		return unexpected("reading an unknown delivery", r.HTTPResponse, r.Body)
	}
	invalid, err := w.CreateEndpointWithResponse(ctx, w.app, nil, api.NewEndpoint{Url: "ftp://example.com"})
	if err != nil {
		return err
	}
	if p := invalid.ApplicationproblemJSON422; p == nil || p.Errors == nil || (*p.Errors)[0].Field != "url" {
		return unexpected("creating at ftp", invalid.HTTPResponse, invalid.Body)
	}
	return nil
}
