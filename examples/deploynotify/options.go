package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// options is what flags and environment say.
type options struct {
	url, format, scheme, header          string
	status, event, environment, service  string
	deploymentID, commit, previousCommit string
	branch, deployVersion                string
	previousVersion                      string
	reason, triggeredBy, deployURL       string
	pipelineURL                          string
	metadata, networks                   listFlag
	stateDir                             string
	timeout                              time.Duration
	dryRun, failOpen, start, finish      bool
	version                              bool
	secret, apiKey                       string
}

// listFlag takes a flag several times, or a comma-separated list once.
type listFlag []string

func (l *listFlag) String() string { return strings.Join(*l, ",") }

func (l *listFlag) Set(text string) error {
	for _, item := range strings.Split(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			*l = append(*l, item)
		}
	}
	return nil
}

const envPrefix = "DEPLOYHOOK_"

// twin is the environment variable of a flag: -allow-network is DEPLOYHOOK_ALLOW_NETWORK.
func twin(flagName string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

func (o *options) flags(out io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("deploynotify", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.url, "url", "", "the receiver's `URL`; required")
	f.StringVar(&o.format, "format", "event", "`event`, deployment (a record as Periscope takes it) or cdevents")
	f.StringVar(&o.scheme, "scheme", "", "standard, timestamped, temps, stripe or bearer; default standard, bearer if only DEPLOYHOOK_API_KEY is set")
	f.StringVar(&o.header, "api-key-header", "", "`header` that takes the API key alone, instead of Authorization: Bearer")
	f.StringVar(&o.status, "status", "", "how it went: what the CI system calls it, an exit code, or one of the six statuses")
	f.StringVar(&o.event, "event", "", "event `type`, such as health_check.passed; default: the one that -status implies")
	f.StringVar(&o.environment, "environment", "", "what is deployed to: production, staging, …")
	f.StringVar(&o.service, "service", "", "what is deployed; default: the repository's name")
	f.StringVar(&o.deploymentID, "deployment-id", "", "`ID` of the deployment; default: from the run")
	f.StringVar(&o.commit, "commit", "", "`SHA` that is deployed; default: the run's")
	f.StringVar(&o.previousCommit, "previous-commit", "", "`SHA` that was deployed before")
	f.StringVar(&o.branch, "branch", "", "branch that is deployed; default: the run's")
	f.StringVar(&o.deployVersion, "deploy-version", "", "version that is deployed")
	f.StringVar(&o.previousVersion, "previous-version", "", "version that was live before; required of a rollback")
	f.StringVar(&o.reason, "error", "", "why it failed; default for a failure: that the pipeline reported one")
	f.StringVar(&o.triggeredBy, "triggered-by", "", "who or what started it; default: the run's actor")
	f.StringVar(&o.deployURL, "deploy-url", "", "`URL` at which the deployed service answers")
	f.StringVar(&o.pipelineURL, "pipeline-url", "", "`URL` of the run; default: from the CI system")
	f.Var(&o.metadata, "metadata", "`name=value`; repeat it, or separate with commas")
	f.Var(&o.networks, "allow-network", "`CIDR` that may be posted to though it is not public, there also by plain http; repeat it")
	f.StringVar(&o.stateDir, "state-dir", "", "`directory` in which -start leaves its time for -finish; default: the runner's temporary one")
	f.DurationVar(&o.timeout, "timeout", 90*time.Second, "limit for all attempts and waits together")
	f.BoolVar(&o.start, "start", false, "report the start; -finish later reports the end with the same deployment ID")
	f.BoolVar(&o.finish, "finish", false, "report the end of what -start began")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the request as one JSON object instead of sending it")
	f.BoolVar(&o.failOpen, "fail-open", false, "exit with 0 although it was not delivered: a notification must not fail a deployment; wrong usage still exits with 2")
	f.BoolVar(&o.version, "version", false, "print the version of deploynotify itself and exit")
	f.Usage = func() { usage(f, out) }
	return f
}

func usage(f *flag.FlagSet, out io.Writer) {
	f.SetOutput(out)
	fmt.Fprint(out, `Usage: deploynotify -url URL -environment NAME -status STATUS [flags]

Reports a deployment from a pipeline. Every flag but -version has a twin in the environment: -allow-network is
DEPLOYHOOK_ALLOW_NETWORK. Secrets are taken from the environment only:

  DEPLOYHOOK_SECRET    whsec_… for -scheme standard, any text of 16 bytes or more for the others
  DEPLOYHOOK_API_KEY   for -scheme bearer
  …_FILE               either of them, read from a file instead

Exit status: 0 delivered, 1 not delivered, 2 wrong usage.

`)
	f.PrintDefaults()
}

// parse reads the flags, then the environment for those that were not given.
func parse(args []string, s surroundings) (*options, error) {
	o := &options{}
	f := o.flags(io.Discard)
	if err := f.Parse(args); err != nil {
		if err == flag.ErrHelp {
			usage(f, s.stdout)
			return nil, err
		}
		return nil, usagef("%v; -h lists the flags", err)
	}
	if f.NArg() > 0 {
		return nil, usagef("%d unexpected argument(s); every value goes with a flag", f.NArg())
	}
	if o.version {
		return o, nil
	}
	given := map[string]bool{"version": true} // it asks for something else, so it has no twin
	f.Visit(func(g *flag.Flag) { given[g.Name] = true })
	// A flag also silences the twins that it excludes: the environment is often the whole job's, a flag one step's.
	if given["start"] {
		given["status"], given["finish"] = true, true
	}
	if given["finish"] {
		given["start"] = true
	}
	var err error
	f.VisitAll(func(g *flag.Flag) {
		if value := s.getenv(twin(g.Name)); err == nil && value != "" && !given[g.Name] {
			if e := g.Value.Set(value); e != nil {
				err = usagef("%s: not a valid value (%v); -h says what it takes", twin(g.Name), e)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if o.secret, err = credential(s, "SECRET"); err != nil {
		return nil, err
	}
	if o.apiKey, err = credential(s, "API_KEY"); err != nil {
		return nil, err
	}
	if o.stateDir == "" { // the runners' own, which others can't write to
		o.stateDir = cmp.Or(s.getenv("RUNNER_TEMP"), s.getenv("AGENT_TEMPDIRECTORY"), os.TempDir())
	}
	return o, o.check()
}

// maxCredential bounds a credential's file; a larger one is the wrong file.
const maxCredential = 8 << 10

// credential reads DEPLOYHOOK_name, or the file that DEPLOYHOOK_name_FILE names. One line end after it is not part of it.
func credential(s surroundings, name string) (string, error) {
	value, path := s.getenv(envPrefix+name), s.getenv(envPrefix+name+"_FILE")
	if path == "" {
		return value, nil
	}
	if value != "" {
		return "", usagef("both %s%s and %s%s_FILE are set; leave one out", envPrefix, name, envPrefix, name)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", usagef("%s%s_FILE: %v", envPrefix, name, err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxCredential+1))
	if err != nil || len(text) > maxCredential {
		return "", usagef("%s%s_FILE: want a readable file of at most %d bytes", envPrefix, name, maxCredential)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
}

// check finds what is wrong whatever the run is.
func (o *options) check() error {
	switch {
	case o.url == "":
		return usagef("no URL: give -url or set %s", twin("url"))
	case o.start && o.finish:
		return usagef("-start and -finish exclude each other: one reports the beginning, the other the end")
	case o.start && o.status != "":
		return usagef("-start reports that the deployment is in progress; leave -status to -finish")
	case o.timeout <= 0:
		return usagef("-timeout %v: want more than zero", o.timeout)
	}
	if !slices.Contains([]string{"", "standard", "timestamped", "temps", "stripe", "bearer"}, o.scheme) {
		return usagef("-scheme %q: want standard, timestamped, temps, stripe or bearer", o.scheme)
	}
	if o.format != "event" && o.format != "deployment" && o.format != "cdevents" {
		return usagef("-format %q: want event, deployment or cdevents", o.format)
	}
	if o.event != "" && o.format != "event" {
		return usagef("-event goes with -format event; a record has a -status")
	}
	for name, text := range map[string]string{"-deploy-url": o.deployURL, "-pipeline-url": o.pipelineURL} {
		if u, err := url.Parse(text); err != nil || u.User != nil {
			return usagef("%s: want a URL without user name, password or token in it", name)
		}
	}
	_, err := o.prefixes()
	return err
}

func (o *options) prefixes() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range o.networks {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, usagef("-allow-network %q: want a CIDR such as 10.0.0.0/8", text)
		}
		out = append(out, p)
	}
	return out, nil
}

// setMetadata adds what -metadata says. A value that reads as a number or a boolean is one.
func (o *options) setMetadata(m *payload.Metadata) error {
	for _, item := range o.metadata {
		name, text, ok := strings.Cut(item, "=")
		if !ok || name == "" {
			return usagef("-metadata %q: want name=value", item)
		}
		var value any = text
		if number, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(number, 10) == text {
			value = number
		} else if text == "true" || text == "false" {
			value = text == "true"
		}
		if err := m.Set(name, value); err != nil {
			return usagef("-metadata %q: %v", name, err)
		}
	}
	return nil
}
