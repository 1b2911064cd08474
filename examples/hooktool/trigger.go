package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"text/template"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/signer"
)

func triggerCommand() command {
	return command{
		name:    "trigger",
		summary: "send sample events or whole deployments",
		args:    "[EVENT or DEPLOYMENT...]",
		about: `Sends sample events, signed with HOOKTOOL_SECRET. Without a secret it sends
them unsigned. There is one attempt for each event.

  EVENT        deploy.started, build.completed, health_check.passed,
               deploy.live, deploy.failed or deploy.rolled_back
  DEPLOYMENT   live, failed or rolled-back sends all events of a deployment;
               all sends one event of each type

Bodies can also come from elsewhere:

  -template FILE   a Go text/template. It has {{.Event}}, {{.Timestamp}},
                   {{.Unix}}, {{.DeliveryID}}, {{.DeploymentID}}, {{.App}},
                   {{.Environment}}, {{.Version}}, {{.PreviousVersion}},
                   {{.Commit}} and {{.Branch}}. {{json .App}} quotes a text.
  -from FILE       a recorded request, as a new delivery

The exit status is 1 if an answer was not 2xx.`,
		examples: `hooktool trigger deploy.live
hooktool trigger -url http://127.0.0.1:3000/webhooks/deploy -interval 2s rolled-back
hooktool trigger -scheme timestamped -header-prefix X-Temps -app shop failed
hooktool trigger -scheme github -template deployment.json.tmpl deploy.live
hooktool trigger -from requests/20261128T214501.123Z-0001-deploy.live.json`,
		setup: func(f *flag.FlagSet) func(context.Context, *call) error {
			o := &triggerFlags{}
			o.scheme.register(f, "standard")
			f.StringVar(&o.url, "url", "http://127.0.0.1:8787/", "receiver's `URL`")
			f.StringVar(&o.format, "format", "event", "`format` of samples: event, envelope (as Standard Webhooks recommends), deployment (a record) or cdevents")
			f.StringVar(&o.template, "template", "", "`file` with a template of the body")
			f.StringVar(&o.from, "from", "", "`file` with a recorded request to send as a new delivery")
			f.StringVar(&o.sample.App, "app", "", "`name` of the app; default: api-service")
			f.StringVar(&o.sample.Environment, "environment", "", "`name` of the environment; default: production")
			f.StringVar(&o.sample.DeploymentID, "deployment-id", "", "`ID` of the deployment; default: a new one")
			f.StringVar(&o.sample.Version, "deploy-version", "", "deployed `version`; default: v1.8.0")
			f.StringVar(&o.sample.Commit, "commit", "", "deployed commit's `SHA`")
			f.IntVar(&o.count, "count", 1, "`number` of times that all events are sent, each time as another deployment")
			f.DurationVar(&o.interval, "interval", 0, "`pause` between two events")
			f.Var(&o.headers, "H", "a further `header`, as in 'Name: value'; may be repeated")
			return o.run
		},
	}
}

type triggerFlags struct {
	scheme                      schemeFlags
	url, format, template, from string
	sample                      sample
	count                       int
	interval                    time.Duration
	headers                     listFlag
}

func (o *triggerFlags) check(c *call) error {
	switch {
	case o.count < 1:
		return usagef("-count %d: want 1 or more", o.count)
	case o.interval < 0:
		return usagef("-interval %v: want zero or more", o.interval)
	case !slices.Contains([]string{"event", "envelope", "deployment", "cdevents"}, o.format):
		return usagef("-format %q: want event, envelope, deployment or cdevents", cut(o.format, 40))
	case o.template != "" && c.given["format"]:
		return usagef("-template and -format exclude each other")
	case o.from != "" && (len(c.args) > 0 || o.template != ""):
		return usagef("-from gives the body; leave out -template and the names of events")
	case o.from == "" && len(c.args) == 0:
		return usagef("no event; give a type such as deploy.live, or live, failed, rolled-back or all")
	}
	return checkTarget("url", o.url)
}

func (o *triggerFlags) run(ctx context.Context, c *call) error {
	if err := o.check(c); err != nil {
		return err
	}
	signed, err := c.optionalSigner(&o.scheme)
	if err != nil {
		return err
	}
	more, err := parseHeaders(o.headers)
	if err != nil {
		return err
	}
	d := newDelivering(c, signed, o.url)
	defer d.close()
	if signed == nil {
		d.warn("the requests are not signed, because " + secretVariable + " is not set")
	}
	next, total, err := o.messages(ctx, c)
	if err != nil {
		return err
	}
	d.total = total
	d.begin()
	for i := range total {
		if i > 0 && !wait(ctx, o.interval) || ctx.Err() != nil {
			return d.interrupted(i, total)
		}
		m, err := next(i)
		if err != nil {
			return err
		}
		for name, values := range more {
			m.header[name] = values
		}
		if err := d.send(ctx, m); err != nil {
			return d.interrupted(i, total)
		}
	}
	return d.end()
}

// messages returns what to send. Each message is made when it is sent, so that
// its times are right.
func (o *triggerFlags) messages(ctx context.Context, c *call) (next func(i int) (message, error), total int, err error) {
	if o.from != "" {
		r, err := c.readRecorded(ctx, o.from)
		return func(int) (message, error) { return fromRecorded(r, c.now()), nil }, o.count, err
	}
	deployments, err := expand(c.args)
	if err != nil {
		return nil, 0, err
	}
	var tmpl *template.Template
	if o.template != "" {
		if tmpl, err = parseTemplate(ctx, c, o.template); err != nil {
			return nil, 0, err
		}
	}
	type step struct {
		run int
		t   payload.Type
	}
	var steps []step
	runs := 0
	for range o.count {
		for _, types := range deployments {
			runs++
			for _, t := range types {
				steps = append(steps, step{runs, t})
			}
		}
	}
	var current sample
	last := 0
	return func(i int) (message, error) {
		at := c.now()
		if steps[i].run != last {
			last, current = steps[i].run, newSample(o.sample, steps[i].run, at)
		}
		if tmpl != nil {
			return current.templated(tmpl, steps[i].t, at)
		}
		return current.message(o.format, steps[i].t, at)
	}, len(steps), nil
}

// optionalSigner returns nil if no secret is set.
func (c *call) optionalSigner(o *schemeFlags) (signer.Signer, error) {
	g, err := c.ring()
	if err != nil {
		return nil, err
	}
	if !g.current.given() {
		if o.name != "" {
			return nil, usagef("no secret for -scheme %s; set %s or %s_FILE", o.name, secretVariable, secretVariable)
		}
		return nil, nil
	}
	return c.signer(o)
}

// parseHeaders reads the values of -H.
func parseHeaders(lines []string) (http.Header, error) {
	h := http.Header{}
	for _, line := range lines {
		name, value, err := parseHeader(line)
		if err != nil {
			return nil, err
		}
		h[name] = append(h[name], value)
	}
	return h, nil
}

// delivering sends requests, shows them and counts.
type delivering struct {
	c       *call
	poster  *poster
	signer  signer.Signer // nil sends them as they are
	url     string
	columns []column

	total        int
	sent, failed int
}

func newDelivering(c *call, s signer.Signer, url string) *delivering {
	return &delivering{c: c, poster: newPoster(), signer: s, url: url, columns: []column{{"NUMBER", 6}, {"EVENT", 19}, {"DELIVERY", 36}, {"STATUS", 6}, {"TIME", 6}, {"ANSWER", 0}}}
}

func (d *delivering) close() { d.poster.close() }

func (d *delivering) begin() {
	if !d.c.json {
		fmt.Fprintln(d.c.stdout, alignRow(d.columns, titles(d.columns)...))
	}
}

// warn prints a warning for people and for programs.
func (d *delivering) warn(text string) {
	fmt.Fprintf(d.c.stderr, "hooktool %s: warning: %s\n", d.c.name, text)
	if d.c.json {
		d.c.printJSON(map[string]string{"kind": "warning", "warning": text})
	}
}

// sent is the output of one request.
type sent struct {
	Kind       string `json:"kind"`
	Number     int    `json:"number"`
	Total      int    `json:"total"`
	Event      string `json:"event,omitempty"`
	Deployment string `json:"deployment,omitempty"`
	Delivery   string `json:"delivery,omitempty"`
	File       string `json:"file,omitempty"`
	Status     int    `json:"status,omitempty"`
	Millis     int64  `json:"milliseconds"`
	Answer     string `json:"answer,omitempty"`
	Error      string `json:"error,omitempty"`
}

// send sends a message. It returns an error only if the context ended.
func (d *delivering) send(ctx context.Context, m message) error {
	r, err := newRequest(ctx, http.MethodPost, d.url, m.header, m.body)
	if err != nil {
		return err
	}
	s := sent{Kind: "delivery", Event: m.event, Deployment: m.deployment, Delivery: m.id}
	if d.signer != nil {
		err = d.signer.Sign(ctx, r, m.id, d.c.now(), m.body)
	}
	return d.do(ctx, r, s, err)
}

// do sends a request, unless there is an error already, and shows the result.
func (d *delivering) do(ctx context.Context, r *http.Request, s sent, err error) error {
	var a answer
	if err == nil {
		a, err = d.poster.do(r)
	}
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	d.sent++
	if err != nil {
		s.Error = plainError(oneLine(err.Error()))
	} else {
		s.Status, s.Millis, s.Answer = a.status, a.took.Milliseconds(), firstLine(a.body)
	}
	if err != nil || !a.ok() {
		d.failed++
	}
	s.Number, s.Total = d.sent, d.total
	if d.c.json {
		d.c.printJSON(s)
		return nil
	}
	status := "-"
	if s.Status > 0 {
		status = strconv.Itoa(s.Status)
	}
	fmt.Fprintln(d.c.stdout, d.row(s.Event, s.Delivery, status, fmt.Sprintf("%d ms", s.Millis), cmp.Or(s.Error, s.Answer)))
	return nil
}

// row returns a line of the table, with the progress.
func (d *delivering) row(event, id, status, took, answer string) string {
	return alignRow(d.columns, fmt.Sprintf("%d/%d", d.sent, d.total), cmp.Or(printable(event, 40), "-"),
		cmp.Or(printable(id, 60), "-"), status, took, printable(answer, 120))
}

// end prints the sum.
func (d *delivering) end() error {
	if d.c.json {
		d.c.printJSON(map[string]any{"kind": "summary", "requests": d.sent, "failed": d.failed})
	} else {
		fmt.Fprintf(d.c.stdout, "\n%s sent, %d failed\n", plural(d.sent, "request"), d.failed)
	}
	if d.failed > 0 {
		return errFault
	}
	return nil
}

// interrupted ends early.
func (d *delivering) interrupted(done, total int) error {
	_ = d.end() // the error below is the one that counts
	return fmt.Errorf("%w: %d of %s sent", errInterrupted, done, plural(total, "request"))
}
