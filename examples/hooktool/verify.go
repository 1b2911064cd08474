package main

import (
	"cmp"
	"context"
	"flag"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"time"
)

func verifyCommand() command {
	return command{
		name:    "verify",
		summary: "explain whether a request is authentic, and why not",
		args:    "[RECORDED-FILE]",
		about: `Verifies a request and says which scheme it has, which part is wrong, why, and
what to do. The request is a file that listen has recorded, or it is given by
-H and -body. The secret comes from HOOKTOOL_SECRET.

A recorded request is judged at the time of its arrival, and others now. -at
gives another time. Without -scheme the headers decide.`,
		examples: `hooktool verify requests/20261128T214501.123Z-0001-deploy.live.json
hooktool verify -at now requests/20261128T214501.123Z-0001-deploy.live.json
hooktool verify -H 'X-Hub-Signature-256: sha256=...' -body body.json
hooktool verify -headers headers.txt -body body.json -json`,
		setup: func(f *flag.FlagSet) func(context.Context, *call) error {
			var o verifyFlags
			o.scheme.register(f, "by the headers")
			o.scheme.registerVerifying(f)
			f.Var(&o.lines, "H", "a `header`, as in 'Name: value'; may be repeated")
			f.StringVar(&o.headers, "headers", "", "`file` with one header a line, as curl and proxies print them")
			f.StringVar(&o.body, "body", "", "`file` with the exact body; - is standard input")
			f.StringVar(&o.method, "method", http.MethodPost, "`method` of the request, which -scheme httpsig verifies")
			f.StringVar(&o.url, "url", "http://127.0.0.1/", "`URL` of the request, which -scheme httpsig verifies")
			f.StringVar(&o.at, "at", "", "`time` at which the request arrived, RFC 3339, Unix seconds or now")
			return o.run
		},
	}
}

// listFlag may be repeated.
type listFlag []string

func (l *listFlag) String() string { return strings.Join(*l, ", ") }

// Set implements [flag.Value].
func (l *listFlag) Set(text string) error {
	*l = append(*l, text)
	return nil
}

type verifyFlags struct {
	scheme                         schemeFlags
	lines                          listFlag
	headers, body, method, url, at string
}

func (o *verifyFlags) run(ctx context.Context, c *call) error {
	r, body, arrived, err := o.request(ctx, c)
	if err != nil {
		return err
	}
	if err := o.setTime(c, arrived); err != nil {
		return err
	}
	g, err := c.ring()
	if err != nil {
		return err
	}
	f, err := examine(o.scheme, g, r, body)
	if err != nil {
		return err
	}
	f.print(c)
	if !f.OK {
		return errFault
	}
	return nil
}

// setTime chooses the time at which the request is judged.
func (o *verifyFlags) setTime(c *call, arrived time.Time) error {
	if o.at != "now" {
		at, err := parseTime("at", o.at, arrived)
		if err != nil {
			return err
		}
		arrived = at
	} else {
		arrived = c.now()
	}
	o.scheme.at = arrived
	return nil
}

// request returns the request and when it arrived.
func (o *verifyFlags) request(ctx context.Context, c *call) (*http.Request, []byte, time.Time, error) {
	switch len(c.args) {
	case 0:
		r, body, err := o.given(ctx, c)
		return r, body, c.now(), err
	case 1:
	default:
		return nil, nil, time.Time{}, usagef("want one recorded file, got %d arguments", len(c.args))
	}
	if len(o.lines) > 0 || o.headers != "" || o.body != "" {
		return nil, nil, time.Time{}, usagef("a recorded file has the headers and the body; leave out -H, -headers and -body")
	}
	rec, err := c.readRecorded(ctx, c.args[0])
	if err != nil {
		return nil, nil, time.Time{}, err
	}
	r, err := rec.request()
	return r, rec.body(), rec.ReceivedAt, err
}

// given returns the request of the flags.
func (o *verifyFlags) given(ctx context.Context, c *call) (*http.Request, []byte, error) {
	if o.body == "" {
		return nil, nil, usagef("no request; give a recorded file, or -H and -body")
	}
	if err := checkTarget("url", o.url); err != nil {
		return nil, nil, err
	}
	r, err := http.NewRequest(o.method, o.url, nil)
	if err != nil {
		return nil, nil, usagef("-method and -url: %v", err)
	}
	r.RequestURI = r.URL.RequestURI()
	if o.headers != "" {
		text, err := c.readFile(ctx, o.headers, 1<<20)
		if err != nil {
			return nil, nil, err
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimRight(strings.TrimPrefix(line, "> "), "\r\n") // curl -v marks them
			// The request line has a blank before its first colon.
			if name, _, found := strings.Cut(line, ":"); found && !strings.ContainsAny(name, " \t") {
				o.lines = append(o.lines, line)
			}
		}
	}
	if r.Header, err = parseHeaders(o.lines); err != nil {
		return nil, nil, err
	}
	body, err := c.readFile(ctx, o.body, maxRecord)
	return r, body, err
}

// print shows a finding in aligned lines.
func (f finding) print(c *call) {
	if c.json {
		c.printJSON(f)
		return
	}
	f.printTo(c.stdout)
}

func (f finding) printTo(out io.Writer) {
	rows := [][]string{}
	add := func(name, text string) {
		if text != "" {
			rows = append(rows, []string{name, printable(text, 1000)})
		}
	}
	if f.OK {
		add("result", "authentic")
		add("scheme", f.Scheme)
		add("key", f.Key)
		add("id", cmp.Or(f.ID, "not signed"))
		if f.Time.IsZero() {
			add("time", "not signed")
		} else {
			add("time", f.Time.UTC().Format(time.RFC3339))
		}
		printTable(out, rows)
		return
	}
	add("result", "NOT authentic")
	add("scheme", cmp.Or(f.Scheme, "unknown"))
	add("fault", f.Code)
	add("part", f.Part)
	add("why", f.Why)
	add("do", f.Do)
	for _, note := range f.Notes {
		add("note", note)
	}
	printTable(out, rows)
}

// parseHeader reads one value of -H.
func parseHeader(line string) (name, value string, err error) {
	name, value, found := strings.Cut(line, ":")
	if !found || name == "" || strings.ContainsAny(name, " \t") {
		return "", "", usagef("-H %q: want 'Name: value'", cut(name, 40))
	}
	return textproto.CanonicalMIMEHeaderKey(name), strings.Trim(value, " \t"), nil
}
