package sendertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/sendertest"
	"github.com/deployhook/deployhook/signer"
)

// TestService tests a service that sends with this package alone, in a bubble's
// time.
func TestService(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		steps    []sendertest.Step
		opts     []sender.Option
		outcome  sender.Outcome
		requests int
		waits    []time.Duration // the least and the most, in turn
	}{
		"good":               {outcome: sender.Delivered, requests: 1},
		"slow":               {steps: steps(sendertest.Slow(14*s, sendertest.OK())), outcome: sender.Delivered, requests: 1},
		"too slow at first":  {steps: steps(sendertest.Slow(16*s, sendertest.OK()), sendertest.OK()), outcome: sender.Delivered, requests: 2, waits: waits(16*s, 17*s)},
		"hangs at first":     {steps: steps(sendertest.Hang(), sendertest.OK()), outcome: sender.Delivered, requests: 2},
		"drips":              {steps: steps(sendertest.Drip(s)), opts: once(), outcome: sender.Failed, requests: 1},
		"drips its body":     {steps: steps(sendertest.DripBody(s)), outcome: sender.Delivered, requests: 1},
		"resets at first":    {steps: steps(sendertest.Reset(), sendertest.OK()), outcome: sender.Delivered, requests: 2, waits: waits(s, 3*s/2)},
		"always resets":      {steps: steps(sendertest.Reset()), outcome: sender.Failed, requests: 7},
		"cuts its answer":    {steps: steps(sendertest.Cut()), outcome: sender.Delivered, requests: 1},
		"not http":           {steps: steps(sendertest.NotHTTP(), sendertest.OK()), outcome: sender.Delivered, requests: 2},
		"redirects":          {steps: steps(sendertest.Redirect("https://elsewhere.example")), outcome: sender.Rejected, requests: 1},
		"gone":               {steps: steps(sendertest.Gone()), outcome: sender.Gone, requests: 1},
		"throttled":          {steps: steps(sendertest.TooMany(90*s), sendertest.OK()), outcome: sender.Delivered, requests: 2, waits: waits(90*s, 91*s)},
		"throttled, no time": {steps: steps(sendertest.TooMany(0), sendertest.OK()), outcome: sender.Delivered, requests: 2, waits: waits(s, 3*s/2)},
		"busy":               {steps: steps(sendertest.Status(503, "Retry-After", "20"), sendertest.OK()), outcome: sender.Delivered, requests: 2, waits: waits(20*s, 21*s)},
		"bad request":        {steps: steps(sendertest.Status(400)), opts: []sender.Option{sender.WithStopOnClientError()}, outcome: sender.Rejected, requests: 1},
		"is being deployed":  {steps: steps(sendertest.Status(404), sendertest.Status(502), sendertest.OK()), outcome: sender.Delivered, requests: 3},
		"always fails":       {steps: steps(sendertest.Status(500)), outcome: sender.Failed, requests: 7},
		"platform's waits":   {steps: steps(sendertest.Status(500)), opts: []sender.Option{sender.WithSchedule(sender.Platform)}, outcome: sender.Failed, requests: 6, waits: waits(10*s, 15*s, 30*s, 40*s, 120*s, 150*s, 600*s, 660*s, 3600*s, 3600*s)},
		"control":            {steps: steps(sendertest.Status(500, "Webhook-Delivery", "abort-message")), opts: []sender.Option{sender.WithDeliveryControl()}, outcome: sender.Aborted, requests: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				scheme, err := signer.NewStandard(signer.GenerateSecret())
				if err != nil {
					t.Fatal(err)
				}
				network := sendertest.NewNetwork(t)
				endpoint := network.Endpoint(c.steps...).Verify(scheme)
				receipt, err := network.Sender(c.opts...).Send(t.Context(), endpoint.To(scheme), sendertest.Event(payload.DeployLive))
				if receipt == nil || receipt.Outcome != c.outcome {
					t.Fatalf("got %+v, want the outcome %s: %v", receipt, c.outcome, err)
				}
				endpoint.WantRequests(c.requests).WantAttempts(receipt.ID, c.requests)
				if c.waits != nil {
					endpoint.WantWaits(c.waits...)
				}
			})
		})
	}
}

func steps(all ...sendertest.Step) []sendertest.Step { return all }
func waits(all ...time.Duration) []time.Duration     { return all }
func once() []sender.Option                          { return []sender.Option{sender.WithSchedule(sender.Once)} }
