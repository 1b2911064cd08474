package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"
)

// options is what flags and environment say.
type options struct {
	url, format, scheme, header, proxy   string
	status, event, environment, service  string
	deploymentID, commit, previousCommit string
	branch, deployVersion                string
	previousVersion                      string
	reason, triggeredBy, deployURL       string
	pipelineURL, repositoryURL           string
	artifactDigest, rollbackOf           string
	incidentURL                          string
	metadata                             pairsFlag
	networks                             listFlag
	stateDir                             string
	timeout                              time.Duration
	dryRun, failOpen, start, finish      bool
	version                              bool
	secret, apiKey                       string

	fromEnv map[string]bool // the flags that a variable has set
}

// listFlag takes a flag several times, and a comma-separated list each time.
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

// twin is the environment variable of a flag. That of -allow-network is
// DEPLOYHOOK_ALLOW_NETWORK.
func twin(flagName string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// source names a flag in an error, or its variable if that has set it.
func (o *options) source(flagName string) string {
	if o.fromEnv[flagName] {
		return twin(flagName)
	}
	return "-" + flagName
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
	f.StringVar(&o.service, "service", "", "what is deployed; default: the repository's name. A given name is part of the deployment's ID, "+
		"so give the same one in every step; a matrix or a monorepo needs it")
	f.StringVar(&o.deploymentID, "deployment-id", "", "`ID` of the deployment; default: from the run, the environment and -service. "+
		"Give the same one in every step of a deployment, and another to each leg of a matrix")
	f.StringVar(&o.commit, "commit", "", "`SHA` that is deployed; default: the run's")
	f.StringVar(&o.previousCommit, "previous-commit", "", "`SHA` that was deployed before")
	f.StringVar(&o.branch, "branch", "", "branch that is deployed; default: the run's")
	f.StringVar(&o.deployVersion, "deploy-version", "", "version that is deployed; default: the run's tag")
	f.StringVar(&o.previousVersion, "previous-version", "", "version that was live before; required of a rollback")
	f.StringVar(&o.reason, "error", "", "why it failed; default for a failure: that the pipeline reported one")
	f.StringVar(&o.triggeredBy, "triggered-by", "", "who or what started it; default: the run's actor")
	f.StringVar(&o.deployURL, "deploy-url", "", "`URL` at which the deployed service answers")
	f.StringVar(&o.pipelineURL, "pipeline-url", "", "`URL` of the run; default: from the CI system")
	f.StringVar(&o.repositoryURL, "repository-url", "", "`URL` of the repository; only records and CDEvents have it, like the next three")
	f.StringVar(&o.artifactDigest, "artifact-digest", "", "`digest` of what is deployed, such as sha256:…")
	f.StringVar(&o.rollbackOf, "rollback-of", "", "`ID` of the failed deployment that this one takes back")
	f.StringVar(&o.incidentURL, "incident-url", "", "`URL` of the incident that this deployment is to end")
	f.Var(&o.metadata, "metadata", "`name=value`; repeat it, and commas are text, or give it once with commas between pairs. "+
		"In the environment each line is a pair")
	f.Var(&o.networks, "allow-network", "`CIDR` that may be posted to though it is not public, there also by plain http; repeat it")
	f.StringVar(&o.proxy, "proxy", "", "`URL` of a forward proxy, or env for the one that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name; default: none")
	f.StringVar(&o.stateDir, "state-dir", "", "`directory` in which -start leaves its time for -finish; default: the runner's temporary one")
	f.DurationVar(&o.timeout, "timeout", 90*time.Second, "limit for everything together: reading the run, all attempts and waits")
	f.BoolVar(&o.start, "start", false, "report the start; -finish later reports the end with the same deployment ID")
	f.BoolVar(&o.finish, "finish", false, "report the end of what -start began")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the request as one JSON object instead of sending it, without credentials")
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
	o := &options{fromEnv: map[string]bool{}}
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
	if err := o.readTwins(f, s.getenv); err != nil {
		return nil, err
	}
	if o.stateDir == "" { // the runners' own, which others can't write to
		o.stateDir = cmp.Or(s.getenv("RUNNER_TEMP"), s.getenv("AGENT_TEMPDIRECTORY"), os.TempDir())
	}
	return o, o.check()
}

// readTwins reads the variables of the flags that were not given. -version has
// none, since it asks for something else.
func (o *options) readTwins(f *flag.FlagSet, getenv func(string) string) (err error) {
	skip := map[string]bool{"version": true}
	f.Visit(func(g *flag.Flag) { skip[g.Name] = true })
	// A flag also silences the variables that it excludes. The environment is
	// often the whole job's, and a flag is one step's. -start=false excludes none.
	if o.start {
		skip["status"], skip["finish"] = true, true
	}
	if o.finish {
		skip["start"] = true
	}
	f.VisitAll(func(g *flag.Flag) {
		value := getenv(twin(g.Name))
		if err != nil || value == "" || skip[g.Name] {
			return
		}
		if e := g.Value.Set(value); e != nil {
			err = usagef("%s: not a valid value (%v); -h says what it takes", twin(g.Name), e)
		}
		o.fromEnv[g.Name] = true
	})
	return err
}

func (o *options) prefixes() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range o.networks {
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().Is4In6() {
			return nil, usagef("%s %q: want a CIDR such as 10.0.0.0/8", o.source("allow-network"), text)
		}
		out = append(out, p)
	}
	return out, nil
}
