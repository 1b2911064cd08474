package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/receiver/service"
)

// options has the values of flags and environment variables.
type options struct {
	addr, data, database string
	secret               string
	networks             networks
	drain                time.Duration

	checks             []check
	patience, interval time.Duration

	rollback        bool
	platform, token string
	lease           time.Duration

	alertURL, alertSecret, alertFormat string
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

const usage = `Usage: rollbackbot [flags]

Tests every deployment that goes live. It only alerts, unless -rollback is set. Secrets are taken from the environment only:

  ROLLBACKBOT_SECRET           secret of the platform's webhook, whsec_…
  ROLLBACKBOT_PLATFORM_TOKEN   token for the platform's API
  ROLLBACKBOT_ALERT_URL        where alerts are sent to, besides the log
  ROLLBACKBOT_ALERT_SECRET     whsec_…, which signs the alerts of -alert-format json
  ROLLBACKBOT_DATABASE         twin of -database

`

func parse(args []string, getenv func(string) string, stderr io.Writer) (*options, error) {
	o := &options{
		secret: getenv("ROLLBACKBOT_SECRET"), token: getenv("ROLLBACKBOT_PLATFORM_TOKEN"),
		alertURL: getenv("ROLLBACKBOT_ALERT_URL"), alertSecret: getenv("ROLLBACKBOT_ALERT_SECRET"),
	}
	var file string
	f := flag.NewFlagSet("rollbackbot", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.addr, "addr", "127.0.0.1:8082", "`address` to listen on; put TLS in front")
	f.StringVar(&o.data, "data", "rollbackbot-data", "`folder` of the SQLite files")
	f.StringVar(&o.database, "database", getenv("ROLLBACKBOT_DATABASE"), "postgres:// `URL` to use instead of files, for bots on several machines; set ROLLBACKBOT_DATABASE instead to hide a password from other users")
	f.Var(&o.networks, "allow-networks", "private network `CIDRs` in which deployments may be tested and alerts delivered, also by plain http")
	f.DurationVar(&o.drain, "drain", service.DefaultDrain, "`time` for which the bot goes on serving after SIGTERM while /readyz answers 503")
	f.Func("check", "`path` that must answer 200 within 10s; may be repeated", func(text string) error {
		o.checks = append(o.checks, check{Path: text})
		return nil
	})
	f.StringVar(&file, "checks", "", "JSON `file` with checks, which can also have a status, a text, a maximum time and an app")
	f.DurationVar(&o.patience, "patience", 2*time.Minute, "`time` for which failing checks are repeated, longer than any cold start")
	f.DurationVar(&o.interval, "interval", 5*time.Second, "longest `time` between two tries of a check; the first waits are shorter")
	f.BoolVar(&o.rollback, "rollback", false, "roll broken deployments back; without it the bot only alerts")
	f.StringVar(&o.platform, "platform", "", "`URL` of the platform's API, which -rollback needs")
	f.DurationVar(&o.lease, "lease", 30*time.Second, "`time` after which another process takes over the deployments of a bot that crashed")
	f.StringVar(&o.alertFormat, "alert-format", "json", "`format` of alerts: json (signed), slack or discord")
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
	if file != "" {
		more, err := readChecks(file)
		if err != nil {
			return nil, fmt.Errorf("-checks: %w", err)
		}
		o.checks = append(o.checks, more...)
	}
	return o, o.validate()
}

// maxPatience leaves time for the rest within the longest time that the inbox
// gives a handler.
const maxPatience = 12 * time.Hour

// validate reports all mistakes at once.
func (o *options) validate() error {
	var mistakes []error
	mistake := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }
	if o.secret == "" {
		mistake("ROLLBACKBOT_SECRET is not set; set it to the secret of the platform's webhook")
	}
	if len(o.checks) == 0 {
		mistake("there are no checks; give -check or -checks")
	}
	for i := range o.checks {
		if err := o.checks[i].complete(); err != nil {
			mistake("check %d: %w", i+1, err)
		}
	}
	if o.patience <= 0 || o.patience > maxPatience || o.interval <= 0 {
		mistake("-patience, -interval: want more than zero, and a patience of at most %v", maxPatience)
	}
	if o.lease < time.Second {
		mistake("-lease %v: want at least 1s", o.lease)
	}
	if u, err := url.Parse(o.platform); o.platform != "" && (err != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Host == "" || u.User != nil) {
		mistake("-platform: want a URL such as https://platform.example; the token goes into ROLLBACKBOT_PLATFORM_TOKEN")
	}
	if o.rollback && o.platform == "" {
		mistake("-rollback needs -platform")
	}
	switch o.alertFormat {
	case "json":
		if cmp.Or(o.alertURL, o.alertSecret) != "" && (o.alertURL == "" || o.alertSecret == "") {
			mistake("-alert-format json: set both ROLLBACKBOT_ALERT_URL and ROLLBACKBOT_ALERT_SECRET, because alerts are signed")
		}
	case "slack", "discord":
		if o.alertURL == "" {
			mistake("-alert-format %s: set ROLLBACKBOT_ALERT_URL", o.alertFormat)
		}
	default:
		mistake("-alert-format %q: want json, slack or discord", o.alertFormat)
	}
	return errors.Join(mistakes...)
}
