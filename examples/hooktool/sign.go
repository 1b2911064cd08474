package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/signer"
)

func signCommand() command {
	return command{
		name:    "sign",
		summary: "print the headers that sign a body",
		args:    "[FILE]",
		about: `Signs the exact bytes of a file, or of standard input, and prints the headers
that go with them. The secret comes from HOOKTOOL_SECRET.

With -curl it prints a curl command that sends the file. curl must get the body
with --data-binary, because -d removes line ends.`,
		examples: `hooktool sign body.json
hooktool sign -scheme timestamped -header-prefix X-Temps body.json
hooktool sign -scheme github -curl http://127.0.0.1:8787/ body.json`,
		setup: func(f *flag.FlagSet) func(context.Context, *call) error {
			var o signFlags
			o.scheme.register(f, "standard")
			f.StringVar(&o.id, "id", "", "delivery `ID`; default: a new one")
			f.StringVar(&o.at, "at", "", "`time` of the signature, RFC 3339 or Unix seconds; default: now")
			f.StringVar(&o.curl, "curl", "", "print a curl command for this `URL`")
			f.StringVar(&o.url, "url", "http://127.0.0.1/", "`URL` of the request, which -scheme httpsig signs")
			return o.run
		},
	}
}

type signFlags struct {
	scheme            schemeFlags
	id, at, curl, url string
}

func (o *signFlags) run(ctx context.Context, c *call) error {
	path := "-"
	switch len(c.args) {
	case 0:
	case 1:
		path = c.args[0]
	default:
		return usagef("want one file, got %d arguments", len(c.args))
	}
	if o.curl != "" && path == "-" {
		return usagef("-curl needs a file, because curl reads the body again")
	}
	at, err := parseTime("at", o.at, c.now())
	if err != nil {
		return err
	}
	signed, err := c.signer(&o.scheme)
	if err != nil {
		return err
	}
	if k, ok := signed.(interface{ CarriesCredential() bool }); ok && k.CarriesCredential() {
		return usagef("-scheme %s signs nothing: its header is the secret itself, which is never printed; send with hooktool trigger", o.scheme.name)
	}
	body, err := c.readFile(ctx, path, maxRecord)
	if err != nil {
		return err
	}
	target := cmp.Or(o.curl, o.url)
	if err := checkTarget("url", target); err != nil {
		return err
	}
	r, err := newRequest(ctx, http.MethodPost, target, http.Header{"Content-Type": {"application/json"}}, body)
	if err != nil {
		return usagef("-url: %v", err)
	}
	if err := signed.Sign(ctx, r, cmp.Or(o.id, payload.NewDeliveryID()), at, body); err != nil {
		return usagef("%s", plainError(oneLine(err.Error())))
	}
	o.print(c, r, path)
	return nil
}

func (o *signFlags) print(c *call, r *http.Request, path string) {
	delete(r.Header, "User-Agent")
	if c.json {
		c.printJSON(map[string]any{"kind": "signature", "header": r.Header})
		return
	}
	var names []string
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	if o.curl == "" {
		for _, name := range names {
			fmt.Fprintf(c.stdout, "%s: %s\n", name, r.Header.Get(name))
		}
		return
	}
	fmt.Fprintf(c.stdout, "curl -sS %s", quoteShell(o.curl))
	for _, name := range names {
		fmt.Fprintf(c.stdout, " \\\n  -H %s", quoteShell(name+": "+r.Header.Get(name)))
	}
	fmt.Fprintf(c.stdout, " \\\n  --data-binary %s\n", quoteShell("@"+path))
}

func quoteShell(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// signer returns the signer of the flags and the environment.
func (c *call) signer(o *schemeFlags) (signer.Signer, error) {
	s, err := schemeNamed(cmp.Or(o.name, "standard"))
	if err != nil {
		return nil, err
	}
	g, err := c.ring()
	if err != nil {
		return nil, err
	}
	return newSigner(s, o, g)
}

// parseTime reads a time of a flag. Empty is the fallback.
func parseTime(flagName, text string, fallback time.Time) (time.Time, error) {
	if text == "" {
		return fallback, nil
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usagef("-%s %q: want a time such as 2026-11-28T12:00:00Z, or Unix seconds", flagName, cut(text, 40))
	}
	return t, nil
}
