package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/payload"
)

func replayCommand() command {
	return command{
		name:    "replay",
		summary: "send recorded requests or an outbox's deliveries again",
		args:    "[FILE or FOLDER...]",
		about: `Sends requests again, at a pace and with progress. There are three ways:

  FILE...             recorded requests, to -url
  -api URL -url URL   deliveries of an outbox, which this command reads from its
                      management API and sends to -url
  -api URL            deliveries of an outbox, which the outbox itself sends to
                      their endpoints again

Each request keeps its delivery ID, so that a receiver that handled it before
answers it as a duplicate. With HOOKTOOL_SECRET it gets a new signature with the
present time. Without a secret a recorded request has its exact bytes and
headers, and a receiver calls it stale after 5 minutes. The management API has
no signatures, so that its deliveries need the secret.

HOOKTOOL_API_TOKEN is the token of the management API, as a bearer token. The
flags -endpoint, -type, -deployment, -state, -since and -until choose
deliveries. If a signal ends the command, an outbox goes on with its own
replay, and -resume follows it.`,
		examples: `hooktool replay -url http://127.0.0.1:3000/webhooks/deploy requests
hooktool replay -rate 2 requests/20261128T214501.123Z-0001-deploy.live.json
hooktool replay -api https://platform.example.com/webhooks -app shop -since 1h -url http://127.0.0.1:3000/
hooktool replay -api https://platform.example.com/webhooks -app shop -state failed -since 2026-11-28T12:00:00Z -rate 20
hooktool replay -api https://platform.example.com/webhooks -app shop -resume rpl_01957a50e9297d10b2a4c5d6e7f80910`,
		setup: func(f *flag.FlagSet) func(context.Context, *call) error {
			o := &replayFlags{}
			o.scheme.register(f, "standard")
			f.StringVar(&o.url, "url", "", "receiver's `URL`; default for recorded requests: http://127.0.0.1:8787/")
			f.Float64Var(&o.rate, "rate", 10, "requests a `second`")
			o.outbox.register(f)
			return o.run
		},
	}
}

type replayFlags struct {
	scheme schemeFlags
	url    string
	rate   float64
	outbox outboxFlags
}

func (o *replayFlags) run(ctx context.Context, c *call) error {
	switch {
	case o.rate <= 0 || o.rate > 1000 || math.IsNaN(o.rate):
		return usagef("-rate %v: want more than 0, and at most 1000", o.rate)
	case o.outbox.api != "" && len(c.args) > 0:
		return usagef("give recorded files or -api, not both")
	case o.outbox.api == "" && len(c.args) == 0:
		return usagef("nothing to send; give recorded files or folders, or -api")
	case o.outbox.api == "":
		if name := o.outbox.given(c); name != "" {
			return usagef("-%s chooses deliveries of an outbox and needs -api", name)
		}
		return o.files(ctx, c)
	}
	api, err := o.outbox.client(c)
	if err != nil {
		return err
	}
	defer api.close()
	if o.url == "" {
		return o.outbox.byOutbox(ctx, c, api, o.rate)
	}
	if o.outbox.resume != "" {
		return usagef("-resume follows a replay of the outbox itself; leave out -url")
	}
	return o.fromOutbox(ctx, c, api)
}

// pause is the time between two requests.
func (o *replayFlags) pause() time.Duration { return time.Duration(float64(time.Second) / o.rate) }

// files sends recorded requests.
func (o *replayFlags) files(ctx context.Context, c *call) error {
	target := cmp.Or(o.url, "http://127.0.0.1:8787/")
	if err := checkTarget("url", target); err != nil {
		return err
	}
	signed, err := c.optionalSigner(&o.scheme)
	if err != nil {
		return err
	}
	all, err := c.readAllRecorded(ctx, c.args)
	if err != nil {
		return err
	}
	d := newDelivering(c, signed, target)
	defer d.close()
	if signed == nil {
		d.warnStale(all)
	}
	d.total = len(all)
	d.begin()
	for i, rec := range all {
		if i > 0 && !wait(ctx, o.pause()) || ctx.Err() != nil {
			return d.interrupted(i, len(all))
		}
		if err := d.again(ctx, rec); err != nil {
			return d.interrupted(i, len(all))
		}
	}
	return d.end()
}

// warnStale says what a receiver makes of signatures that are kept.
func (d *delivering) warnStale(all []*recorded) {
	for _, rec := range all {
		if len(redactedHeaders(rec.Header)) > 0 {
			d.warn(rec.file + " was recorded without the caller's credential; a receiver refuses it. Set " + secretVariable + " and -scheme, or record with -keep-credentials")
			break
		}
	}
	d.warn("the requests keep their old signatures, and a receiver calls them stale 5 minutes after they were signed; set " + secretVariable + " to sign them again")
}

// again sends a recorded request, signed again if there is a signer.
func (d *delivering) again(ctx context.Context, rec *recorded) error {
	body := rec.body()
	about := describe(ctx, "", "", rec.Header, body)
	h := rec.Header
	id := deliveryID(h)
	if d.signer != nil {
		h = unsignedHeader(h)
		id = cmp.Or(id, payload.NewDeliveryID())
	}
	r, err := newRequest(ctx, rec.Method, d.url, h, body)
	if err != nil {
		return err
	}
	if d.signer != nil {
		err = d.signer.Sign(ctx, r, id, d.c.now(), body)
	}
	return d.do(ctx, r, sent{Kind: "delivery", Event: about.Event, Deployment: about.Deployment, Delivery: id, File: rec.file}, err)
}

// deliveryID returns the ID that a request carries, signed or not.
func deliveryID(h http.Header) string {
	for _, name := range []string{"Webhook-Id", "X-Webhook-Id", "X-Temps-Id", "X-Github-Delivery", "X-Gitlab-Event-Uuid", "X-Request-Uuid"} {
		if id := h.Get(name); id != "" {
			return id
		}
	}
	return ""
}

// fromOutbox reads deliveries from the management API and sends them.
func (o *replayFlags) fromOutbox(ctx context.Context, c *call, api *outboxAPI) error {
	if err := checkTarget("url", o.url); err != nil {
		return err
	}
	signed, err := c.optionalSigner(&o.scheme)
	if err != nil {
		return err
	}
	d := newDelivering(c, signed, o.url)
	defer d.close()
	if signed == nil {
		d.warn("the management API has no signatures, so the requests are not signed; set " + secretVariable + " to the endpoint's secret")
	}
	ids, err := api.deliveries(ctx, o.outbox.query())
	if err != nil {
		return err
	}
	d.total = len(ids)
	d.begin()
	for i, id := range ids {
		if i > 0 && !wait(ctx, o.pause()) || ctx.Err() != nil {
			return d.interrupted(i, len(ids))
		}
		m, err := api.delivery(ctx, id)
		if err != nil {
			return err
		}
		if len(m.body) == 0 {
			d.skip(m, "the outbox no longer has its body")
			continue
		}
		if err := d.send(ctx, m); err != nil {
			return d.interrupted(i, len(ids))
		}
	}
	return d.end()
}

// skip reports a delivery that can't be sent.
func (d *delivering) skip(m message, why string) {
	d.sent++
	d.failed++
	if d.c.json {
		d.c.printJSON(sent{Kind: "delivery", Event: m.event, Deployment: m.deployment, Delivery: m.id, Error: why})
		return
	}
	fmt.Fprintln(d.c.stdout, d.row(m.event, m.id, "-", "-", why))
}
