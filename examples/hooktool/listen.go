package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/deployhook/deployhook/receiver/service"
)

func listenCommand() command {
	return command{
		name:    "listen",
		summary: "receive, verify, show, record and forward webhooks",
		about: `Receives webhooks on any path, and shows each in one line. With a secret in
HOOKTOOL_SECRET it verifies them, and explains those that are not authentic.

  -record DIR    writes each request to a file, as verify and replay read it
  -forward URL   passes the same bytes and headers on to a local service, and
                 its answer back to the sender; with a secret, only requests
                 that are authentic

It listens on this machine only. Any tunnel to the address makes it reachable
for a sender on the internet. The recorded files have no credentials of callers,
such as API keys, unless -keep-credentials is given.

The exit status is 1 if a request was not authentic, invalid, or not forwarded.
It ends by a signal, -count or -timeout.`,
		examples: `hooktool listen
hooktool listen -record requests -forward http://127.0.0.1:3000/webhooks/deploy
hooktool listen -scheme github -record requests
hooktool listen -count 4 -timeout 1m -json          # in CI`,
		setup: func(f *flag.FlagSet) func(context.Context, *call) error {
			o := &listenFlags{}
			o.scheme.register(f, "by the headers")
			o.scheme.registerVerifying(f)
			f.StringVar(&o.addr, "addr", "127.0.0.1:8787", "`address` to listen on; port 0 takes a free one")
			f.StringVar(&o.record, "record", "", "`folder` for the requests; it is made if it does not exist")
			f.StringVar(&o.forward, "forward", "", "`URL` of a service that gets the same requests")
			f.BoolVar(&o.forwardAll, "forward-all", false, "also forward what is not authentic")
			f.BoolVar(&o.keepHost, "keep-host", false, "forward with the Host of the request, not that of -forward")
			f.BoolVar(&o.keep, "keep-credentials", false, "also record credentials of callers, such as API keys")
			f.IntVar(&o.count, "count", 0, "end after this `number` of requests; default: no end")
			f.Int64Var(&o.maxBody, "max-body", 1<<20, "largest body in `bytes`")
			f.StringVar(&o.source, "source", "", "`sender` of the bodies: "+sourceNames()+"; default: by headers and members")
			f.StringVar(&o.environment, "environment", "", "`name` of the environment for senders that give none; default: production")
			return o.run
		},
	}
}

type listenFlags struct {
	scheme                                     schemeFlags
	addr, record, forward, source, environment string
	forwardAll, keepHost, keep                 bool
	count                                      int
	maxBody                                    int64
}

// listener receives requests.
type listener struct {
	*listenFlags

	c       *call
	ring    ring
	poster  *poster
	end     context.CancelFunc
	ended   context.Context
	columns []column

	mu     sync.Mutex // output, and what follows
	number int
	faults int
}

// incoming is one request and what became of it.
type incoming struct {
	Kind      string    `json:"kind"`
	Number    int       `json:"number"`
	Received  time.Time `json:"received_at"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Bytes     int       `json:"bytes"`
	Result    string    `json:"result"`
	Answer    int       `json:"answer"`
	File      string    `json:"file,omitempty"`
	Forwarded int       `json:"forwarded,omitempty"`
	Error     string    `json:"error,omitempty"`
	description
	Verification *finding `json:"verification,omitempty"`
}

// Results of a request.
const (
	resultAuthentic = "authentic"
	resultUnchecked = "unchecked" // there is no secret
	resultRefused   = "REFUSED"
	resultInvalid   = "INVALID"
	resultIgnored   = "ignored"
)

func (o *listenFlags) run(ctx context.Context, c *call) error {
	if err := o.check(c); err != nil {
		return err
	}
	g, err := c.ring()
	if err != nil {
		return err
	}
	if err := o.checkSecret(g); err != nil {
		return err
	}
	if o.record != "" {
		if err := os.MkdirAll(o.record, 0o700); err != nil {
			return usagef("-record: %v", err)
		}
	}
	var config net.ListenConfig
	socket, err := config.Listen(ctx, "tcp", o.addr)
	if err != nil {
		return usagef("-addr: %s", oneLine(err.Error()))
	}
	ended, end := context.WithCancel(ctx)
	defer end()
	l := &listener{listenFlags: o, c: c, ring: g, poster: newPoster(), end: end, ended: ended, columns: listenColumns()}
	defer l.poster.close()
	l.greet(socket.Addr())
	err = l.serve(ended, socket)
	l.summarize()
	return l.status(ctx, err)
}

func (o *listenFlags) check(c *call) error {
	switch {
	case len(c.args) > 0:
		return usagef("%d unexpected argument(s); give every value with a flag", len(c.args))
	case o.count < 0:
		return usagef("-count %d: want 1 or more; leave it out for no end", o.count)
	case o.maxBody <= 0:
		return usagef("-max-body %d: want more than zero", o.maxBody)
	case o.source != "" && !strings.Contains(", "+sourceNames()+",", ", "+o.source+","):
		return usagef("-source %q: want %s", cut(o.source, 40), sourceNames())
	case o.forward != "":
		return checkTarget("forward", o.forward)
	case o.forwardAll || o.keepHost:
		return usagef("-forward-all and -keep-host need -forward")
	}
	return nil
}

// checkSecret finds a mistake in the secret before the first request.
func (o *listenFlags) checkSecret(g ring) error {
	if o.scheme.name == "" {
		return g.plausible()
	}
	s, err := schemeNamed(o.scheme.name)
	if err != nil {
		return err
	}
	_, err = newVerifier(s, &o.scheme, g)
	return err
}

// serve answers requests until the context ends.
func (l *listener) serve(ctx context.Context, socket net.Listener) error {
	srv, err := service.New(l, service.WithDrain(0), service.WithStopTimeout(5*time.Second), service.WithLogger(slog.New(slog.DiscardHandler)),
		service.WithHealthPaths("/.hooktool/livez", "/.hooktool/readyz"))
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	return srv.Run(ctx, socket)
}

// status returns the error that stands for the exit status.
func (l *listener) status(ctx context.Context, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil && l.count > l.number:
		return fmt.Errorf("%w: %d of %s arrived", errInterrupted, l.number, plural(l.count, "request"))
	case l.faults > 0:
		return errFault
	}
	return nil
}

// ServeHTTP receives one request.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, l.maxBody))
	in := incoming{Kind: "request", Received: l.c.now().UTC(), Method: r.Method, Path: r.URL.RequestURI(), Bytes: len(body)}
	if err != nil {
		var large *http.MaxBytesError
		in.Result, in.Answer, in.Error = resultInvalid, http.StatusBadRequest, "the body did not arrive"
		if errors.As(err, &large) {
			in.Answer, in.Error = http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes; see -max-body", l.maxBody)
		}
		l.finish(w, r, nil, &in, nil)
		return
	}
	in.description = describe(r.Context(), l.source, l.environment, r.Header, body)
	l.verify(r, body, &in)
	l.finish(w, r, body, &in, l.pass(r, body, &in))
}

// verify sets the result.
func (l *listener) verify(r *http.Request, body []byte, in *incoming) {
	in.Result, in.Answer = resultUnchecked, http.StatusOK
	if l.ring.current.given() {
		f, err := examine(l.scheme, l.ring, r, body)
		if err != nil {
			f = finding{Kind: "verification", Scheme: f.Scheme, fault: &fault{"secret-invalid", partSecret, oneLine(err.Error()), "Correct the flags and the variables of hooktool."}}
		}
		in.Verification, in.Result = &f, resultAuthentic
		if !f.OK {
			in.Result, in.Answer = resultRefused, http.StatusUnauthorized
			return
		}
	}
	switch {
	case in.Invalid != "":
		in.Result, in.Answer = resultInvalid, http.StatusBadRequest
	case in.Ignored:
		in.Result = resultIgnored
	}
}

// pass forwards a request, and returns the answer or nil.
func (l *listener) pass(r *http.Request, body []byte, in *incoming) *answer {
	if l.forward == "" || in.Result == resultRefused && !l.forwardAll {
		return nil
	}
	out, err := newRequest(r.Context(), r.Method, l.forward, r.Header, body)
	if err == nil {
		if l.keepHost {
			out.Host = r.Host
		}
		var a answer
		if a, err = l.poster.do(out); err == nil {
			in.Forwarded, in.Answer = a.status, a.status
			return &a
		}
	}
	in.Answer, in.Error = http.StatusBadGateway, "not forwarded: "+oneLine(err.Error())
	return nil
}

// finish records and prints a request, answers it, and ends after -count.
func (l *listener) finish(w http.ResponseWriter, r *http.Request, body []byte, in *incoming, passed *answer) {
	l.mu.Lock()
	l.number++
	in.Number = l.number
	if l.record != "" {
		l.keepRecord(r, body, in)
	}
	if in.Result == resultRefused || in.Result == resultInvalid || in.Error != "" || in.Forwarded >= 300 {
		l.faults++
	}
	l.print(in)
	last := l.count > 0 && l.number >= l.count
	l.mu.Unlock()
	respond(w, in, passed)
	if last {
		l.end()
	}
}

func (l *listener) keepRecord(r *http.Request, body []byte, in *incoming) {
	credentials := []string{"Authorization", "Cookie", "Proxy-Authorization", "X-Gitlab-Token"}
	if l.scheme.name == "bearer" && l.scheme.header != "" {
		credentials = append(credentials, http.CanonicalHeaderKey(l.scheme.header))
	}
	rec := newRecorded(r, body, in.Received, credentials, l.keep)
	path, err := rec.write(l.record, in.Number, in.Event)
	if err != nil {
		in.Error = strings.TrimPrefix(in.Error+"; not recorded: "+oneLine(err.Error()), "; ")
		return
	}
	in.File = path
}

// respond answers as the receiver of the library does, or with the answer of
// the service behind -forward.
func respond(w http.ResponseWriter, in *incoming, passed *answer) {
	if passed != nil {
		for name, values := range passed.header {
			if !connectionHeaders[name] {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(passed.status)
		_, _ = w.Write(passed.body) // the sender is gone
		return
	}
	text := `{"received":true}`
	switch {
	case in.Result == resultRefused:
		text = `{"error":"Invalid signature"}` // the terminal says why, the sender must not know
	case in.Error != "":
		text = `{"error":"The request could not be handled"}`
	case in.Result == resultInvalid:
		text = `{"error":"Invalid payload"}`
	case in.Result == resultIgnored:
		text = `{"received":true,"ignored":true}`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(in.Answer)
	_, _ = io.WriteString(w, text+"\n") // the sender is gone
}
