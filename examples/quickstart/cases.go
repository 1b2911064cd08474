package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// testCase is something that happens to deliveries, with the expected result.
type testCase struct {
	name     string
	what     string
	run      func(ctx context.Context, d *demo) ([]sender.Attempt, error)
	status   int // status of the last answer
	attempts int
	handled  int
	answer   string // body of the last answer; empty: not compared
}

const (
	received  = `{"received":true}`
	duplicate = `{"received":true,"duplicate":true}`
	forbidden = `{"error":"Invalid signature"}`
)

var cases = []testCase{
	{"delivered", "a signed event is verified and handled", send, 200, 1, 1, received},
	{"retried", "two 503s, then delivered by the third attempt", retried, 200, 3, 1, received},
	{"duplicate", "the same delivery once more, handled once", sentTwice, 200, 2, 1, duplicate},
	{"in-flight", "a copy arrives while the first is being handled", inFlight, 409, 2, 1, ""},
	{"crashed", "the handler crashes, and the retry runs", crashed, 200, 2, 1, received},
	{"forged", "signed with another secret", forged, 401, 1, 0, forbidden},
	{"tampered", "one byte of the body changed after signing", tampered, 401, 1, 0, forbidden},
	{"stale", "signed an hour ago, as in a replay", shifted(-time.Hour), 401, 1, 0, forbidden},
	{"future", "signed with a time one hour ahead", shifted(time.Hour), 401, 1, 0, forbidden},
	{"unsigned", "no signature at all", unsigned, 401, 1, 0, forbidden},
	{"oversized", "a body over the receiver's limit", oversized, 413, 1, 0, ""},
	{"invalid", "authentic, but not a valid event", invalid, 400, 1, 0, ""},
}

func send(ctx context.Context, d *demo) ([]sender.Attempt, error) {
	receipt, err := d.sender.Send(ctx, d.endpoint(d.scheme), d.event)
	return receipt.Attempts, err
}

func retried(ctx context.Context, d *demo) ([]sender.Attempt, error) {
	d.outages.Store(2)
	return send(ctx, d)
}

func crashed(ctx context.Context, d *demo) ([]sender.Attempt, error) {
	d.crashes.Store(1)
	return send(ctx, d)
}

func sentTwice(ctx context.Context, d *demo) ([]sender.Attempt, error) {
	msg, err := d.message()
	if err != nil {
		return nil, err
	}
	first := d.sender.Attempt(ctx, d.endpoint(d.scheme), msg)
	second := d.sender.Attempt(ctx, d.endpoint(d.scheme), msg)
	second.Number = 2
	return []sender.Attempt{first, second}, nil
}

// inFlight sends a copy while the handler is blocked, so the copy is answered
// first.
func inFlight(ctx context.Context, d *demo) ([]sender.Attempt, error) {
	msg, err := d.message()
	if err != nil {
		return nil, err
	}
	unblock := make(chan struct{})
	d.unblock.Store(&unblock)
	defer d.unblock.Store(nil)
	first := make(chan sender.Attempt, 1)
	go func() { first <- d.sender.Attempt(ctx, d.endpoint(d.scheme), msg) }()
	select {
	case <-d.entered:
	case a := <-first:
		return []sender.Attempt{a}, fmt.Errorf("the first copy was answered before it was handled: %w", a.Err)
	}
	second := d.sender.Attempt(ctx, d.endpoint(d.scheme), msg)
	second.Number = 2
	close(unblock)
	done := <-first
	if done.Status != http.StatusOK {
		return []sender.Attempt{done, second}, fmt.Errorf("the first copy: %w", done.Err)
	}
	return []sender.Attempt{done, second}, nil
}

// attempt makes one attempt with the given signer and body.
func attempt(ctx context.Context, d *demo, s signer.Signer, body []byte) ([]sender.Attempt, error) {
	msg, err := d.message()
	if err != nil {
		return nil, err
	}
	if body != nil {
		msg.Body = body
	}
	return []sender.Attempt{d.sender.Attempt(ctx, d.endpoint(s), msg)}, nil
}

func forged(ctx context.Context, d *demo) ([]sender.Attempt, error) {
	other, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		return nil, err
	}
	return attempt(ctx, d, other, nil)
}

func tampered(ctx context.Context, d *demo) ([]sender.Attempt, error) {
	return attempt(ctx, d, signerFunc(func(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error {
		return d.scheme.Sign(ctx, r, id, at, bytes.Replace(body, []byte("production"), []byte("Production"), 1))
	}), nil)
}

func shifted(by time.Duration) func(context.Context, *demo) ([]sender.Attempt, error) {
	return func(ctx context.Context, d *demo) ([]sender.Attempt, error) {
		return attempt(ctx, d, signerFunc(func(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error {
			return d.scheme.Sign(ctx, r, id, at.Add(by), body)
		}), nil)
	}
}

func unsigned(ctx context.Context, d *demo) ([]sender.Attempt, error) {
	return attempt(ctx, d, sender.InsecureUnsigned(), nil)
}

func oversized(ctx context.Context, d *demo) ([]sender.Attempt, error) {
	e := *d.event
	e.Error = string(bytes.Repeat([]byte("x"), maxBody))
	body, err := e.Encode()
	if err != nil {
		return nil, err
	}
	return attempt(ctx, d, d.scheme, body)
}

func invalid(ctx context.Context, d *demo) ([]sender.Attempt, error) {
	return attempt(ctx, d, d.scheme, []byte(`{"event":"deploy.failed","timestamp":"yesterday","app":"api"}`))
}

// signerFunc is a signer for the cases with an invalid signature.
type signerFunc func(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error

func (f signerFunc) Sign(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error {
	return f(ctx, r, id, at, body)
}

// result is the result of a case.
type result struct {
	Case     string  `json:"case"`
	Status   int     `json:"status"`   // of the last answer
	Attempts int     `json:"attempts"` // number of attempts
	Handled  int     `json:"handled"`  // times that the handler succeeded
	Answer   string  `json:"answer"`   // body of the last answer
	WaitsMS  []int64 `json:"waits_ms"` // between the attempts, shortened by -scale
	TotalMS  int64   `json:"total_ms"`
	OK       bool    `json:"ok"` // ended as expected
	Error    string  `json:"error,omitempty"`

	what string
	log  []sender.Attempt
	want testCase
}

func (d *demo) run(ctx context.Context, c testCase) result {
	d.outages.Store(0)
	d.crashes.Store(0)
	d.handled.Store(0)
	d.event.Timestamp, d.event.DeploymentID = time.Now(), payload.NewDeploymentID()
	start := time.Now()
	attempts, err := c.run(ctx, d)
	res := result{
		Case: c.name, Attempts: len(attempts), Handled: int(d.handled.Load()), WaitsMS: []int64{},
		TotalMS: time.Since(start).Milliseconds(), what: c.what, log: attempts, want: c,
	}
	if err != nil {
		res.Error = err.Error()
	}
	for _, a := range attempts {
		res.Status, res.Answer = a.Status, string(a.Body)
		if a.Wait > 0 {
			res.WaitsMS = append(res.WaitsMS, a.Wait.Milliseconds())
		}
	}
	res.OK = err == nil && res.Status == c.status && res.Attempts == c.attempts && res.Handled == c.handled &&
		(c.answer == "" || res.Answer == c.answer)
	return res
}
