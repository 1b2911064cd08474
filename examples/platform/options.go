package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/deployhook/deployhook/receiver/service"
)

// options has the values of flags and environment variables.
type options struct {
	addr, data, database string
	token                string
	networks             networks
	health, watch        time.Duration
	read, lockWait       time.Duration
	drain                time.Duration
	retryScale           float64
	demo, keep           bool
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

func parse(args []string, getenv func(string) string, stderr io.Writer) (*options, error) {
	o := &options{token: getenv("PLATFORM_API_TOKEN")}
	f := flag.NewFlagSet("platform", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.addr, "addr", "127.0.0.1:8080", "`address` to listen on; an address other than loopback needs PLATFORM_API_TOKEN")
	f.StringVar(&o.data, "data", "platform-data", "`folder` of the database file, the key and the built programs")
	f.StringVar(&o.database, "database", getenv("PLATFORM_DATABASE"), "postgres:// `URL` to use instead of a file; set PLATFORM_DATABASE instead to hide a password from other users")
	f.Var(&o.networks, "allow-networks", "private network `CIDRs` to which customers' endpoints may resolve, also by plain http; only for demonstrations")
	f.DurationVar(&o.health, "health-timeout", 10*time.Second, "maximum `time` for a new version to become healthy")
	f.DurationVar(&o.watch, "watch", 3*time.Second, "`time` to watch a version that went live, while the version before is kept running")
	f.DurationVar(&o.read, "read-timeout", 10*time.Second, "maximum `time` for a request to arrive; its headers have 5s at most")
	f.DurationVar(&o.drain, "drain", service.DefaultDrain, "`time` for which the platform goes on serving after SIGTERM while /readyz answers 503; longer than the load balancer needs to notice")
	f.DurationVar(&o.lockWait, "lock-wait", 5*time.Second, "maximum `time` to wait for another platform on this database to end; 0 does not wait")
	f.Float64Var(&o.retryScale, "retry-scale", 1, "`factor` for the waits between attempts, from 0 to 1; only for demonstrations")
	f.BoolVar(&o.demo, "demo", false, "deploy five versions of an app, receive their events, print them, and exit")
	f.BoolVar(&o.keep, "keep", false, "with -demo, keep running afterwards, to look around in the console")
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; see -h", f.Arg(0))
	}
	if o.health <= 0 || o.watch <= 0 || o.read <= 0 {
		return nil, errors.New("-health-timeout, -watch and -read-timeout: want more than zero")
	}
	if o.keep && !o.demo {
		return nil, errors.New("-keep: want -demo, too; without it the platform keeps running anyway")
	}
	if o.lockWait < 0 {
		return nil, errors.New("-lock-wait: want zero or more")
	}
	if !(o.retryScale >= 0 && o.retryScale <= 1) {
		return nil, fmt.Errorf("-retry-scale %v: want 0 to 1", o.retryScale)
	}
	return o, o.checkToken()
}

// scaled shortens a wait by -retry-scale.
func (o *options) scaled(d time.Duration) time.Duration {
	return max(time.Duration(float64(d)*o.retryScale), 10*time.Millisecond)
}

const usage = `Usage: platform [flags]

A toy platform as a service: builds and runs programs, and tells customers' endpoints about it. Secrets are taken from the
environment only:

  PLATFORM_API_TOKEN              the operator's bearer token, at least 16 characters
  PLATFORM_SEALING_KEY            32 bytes in base64, which customers' URLs and secrets are sealed with in the database
  PLATFORM_SEALING_KEY_PREVIOUS   the key before, after a change
  PLATFORM_DATABASE               twin of -database

`

const minToken = 16

// checkToken refuses to serve the API to a network without an operator's token.
// An operator can run programs and read customers' events.
func (o *options) checkToken() error {
	if o.token != "" && len(o.token) < minToken {
		return fmt.Errorf("PLATFORM_API_TOKEN: want at least %d characters", minToken)
	}
	addr, err := net.ResolveTCPAddr("tcp", o.addr)
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	if o.token == "" && !addr.IP.IsLoopback() {
		return fmt.Errorf("-addr %s is not loopback, so the API needs a token: set PLATFORM_API_TOKEN", o.addr)
	}
	return nil
}
