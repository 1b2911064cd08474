package main

import (
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/signer"
)

// options has the values of flags and environment variables.
type options struct {
	addr, data, database string
	secret, token        string
	key                  outbox.SealingKey
	networks             networks
	lease, drain         time.Duration
	deliver              bool
	log                  bool
	event                string
}

// networks is a flag that may be repeated or has a comma-separated list.
type networks []netip.Prefix

func (n *networks) String() string { return fmt.Sprint(*n) }

func (n *networks) Set(text string) error {
	for _, item := range strings.Split(text, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(item))
		if err != nil {
			return errors.New("want a network such as 10.0.0.0/8")
		}
		*n = append(*n, p.Masked())
	}
	return nil
}

const usage = `Usage: fanout [flags]

Receives a platform's events, and passes them on to internal services. Secrets are taken from the environment only:

  FANOUT_SECRET        secret of the platform's webhook, whsec_…
  FANOUT_TOKEN         password for /api/ and /console/, at least 16 characters
  FANOUT_SEALING_KEY   32 bytes in base64, which the services' URLs and secrets are sealed with in the database
  FANOUT_DATABASE      twin of -database

`

func parse(args []string, getenv func(string) string, stderr io.Writer) (*options, error) {
	o := &options{secret: getenv("FANOUT_SECRET"), token: getenv("FANOUT_TOKEN")}
	f := flag.NewFlagSet("fanout", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.addr, "addr", "127.0.0.1:8083", "`address` to listen on; put TLS in front")
	f.StringVar(&o.data, "data", "fanout-data", "`folder` of the SQLite file")
	f.StringVar(&o.database, "database", getenv("FANOUT_DATABASE"), "postgres:// `URL` to use instead of a file; set FANOUT_DATABASE instead to hide a password from other users")
	f.Var(&o.networks, "allow-networks", "private network `CIDRs` of the services, also by plain http; by default they must be public and https")
	f.DurationVar(&o.lease, "lease", 30*time.Second, "`time` after which an event is accepted again if its process crashed while it stored it")
	f.DurationVar(&o.drain, "drain", service.DefaultDrain, "`time` for which the receiver goes on serving after SIGTERM while /readyz answers 503")
	f.BoolVar(&o.deliver, "deliver", true, "make attempts; with -deliver=false this process only receives, and others on the database deliver")
	f.BoolVar(&o.log, "log", false, "print the latest deliveries to all services, and exit")
	f.StringVar(&o.event, "event", "", "with -log, only the deliveries of the event with this `ID`")
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, errors.New("unexpected argument after the flags; see -h")
	}
	return o, o.validate(getenv("FANOUT_SEALING_KEY"))
}

const minToken = 16

// validate reports all mistakes at once. Reading the log needs the sealing key
// only, because the outbox refuses a database without its key.
func (o *options) validate(key string) error {
	var mistakes []error
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key))
	if err == nil {
		o.key, err = outbox.NewSealingKey("fanout", raw)
	}
	if err != nil {
		mistakes = append(mistakes, errors.New("FANOUT_SEALING_KEY: want 32 bytes in base64; make them with: openssl rand -base64 32"))
	}
	if o.event != "" && !o.log {
		mistakes = append(mistakes, errors.New("-event: give -log, too"))
	}
	if o.log {
		return errors.Join(mistakes...)
	}
	if o.secret == "" {
		mistakes = append(mistakes, errors.New("FANOUT_SECRET is not set; set it to the secret of the platform's webhook"))
	}
	if len(o.token) < minToken {
		mistakes = append(mistakes, fmt.Errorf("FANOUT_TOKEN: want at least %d characters; make them with: openssl rand -hex 16", minToken))
	}
	return errors.Join(mistakes...)
}

func (o *options) scheme() (*signer.Standard, error) {
	secret, err := signer.ParseSecret(o.secret)
	if err != nil {
		return nil, fmt.Errorf("FANOUT_SECRET: %w", err)
	}
	return signer.NewStandard(secret)
}
