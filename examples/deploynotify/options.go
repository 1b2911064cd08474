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

// options has the values of flags and environment variables.
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

	fromEnv map[string]bool // flags that were set by a variable
}

// listFlag may be repeated and takes a comma-separated list each time.
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

// variableOf returns a flag's environment variable, for example
// DEPLOYHOOK_ALLOW_NETWORK for -allow-network.
func variableOf(flagName string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// source returns the flag's name for an error, or its variable if that set the
// value.
func (o *options) source(flagName string) string {
	if o.fromEnv[flagName] {
		return variableOf(flagName)
	}
	return "-" + flagName
}

func (o *options) flags(out io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("deploynotify", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.url, "url", "", "receiver's `URL`; required")
	f.StringVar(&o.format, "format", "event", "`format`: event, envelope (the event in a Standard Webhooks envelope), deployment (a record for Periscope) or cdevents")
	f.StringVar(&o.scheme, "scheme", "", "signature `scheme`: standard, timestamped, temps, stripe or bearer; default: standard, or bearer if only DEPLOYHOOK_API_KEY is set")
	f.StringVar(&o.header, "api-key-header", "", "`header` for the API key; default: Authorization, with the prefix Bearer")
	f.StringVar(&o.status, "status", "", "result of the deployment: a `status` of the CI system, an exit code, or pending, in_progress, success, failure, cancelled or rolled_back")
	f.StringVar(&o.event, "event", "", "event `type`, such as health_check.passed; default: from -status")
	f.StringVar(&o.environment, "environment", "", "`name` of the environment, such as production")
	f.StringVar(&o.service, "service", "", "`name` of the deployed service; default: the repository's name. A given name is part of the deployment's ID, "+
		"so give the same one in every step. A matrix or a monorepo needs it")
	f.StringVar(&o.deploymentID, "deployment-id", "", "`ID` of the deployment; default: from the run, the environment and -service. "+
		"Give the same one in every step of a deployment, and a different one in each job of a matrix")
	f.StringVar(&o.commit, "commit", "", "deployed commit's `SHA`; default: the run's")
	f.StringVar(&o.previousCommit, "previous-commit", "", "`SHA` of the commit that was deployed before")
	f.StringVar(&o.branch, "branch", "", "deployed `branch`; default: the run's")
	f.StringVar(&o.deployVersion, "deploy-version", "", "deployed `version`; default: the run's tag")
	f.StringVar(&o.previousVersion, "previous-version", "", "`version` that was live before, or after a rollback the one that is live again; required for a rollback")
	f.StringVar(&o.reason, "error", "", "`reason` of a failure; default: a general text")
	f.StringVar(&o.triggeredBy, "triggered-by", "", "`name` of the person or system that started it; default: the run's actor")
	f.StringVar(&o.deployURL, "deploy-url", "", "`URL` of the deployed service")
	f.StringVar(&o.pipelineURL, "pipeline-url", "", "`URL` of the run; default: from the CI system")
	f.StringVar(&o.repositoryURL, "repository-url", "", "`URL` of the repository; only for -format deployment and cdevents")
	f.StringVar(&o.artifactDigest, "artifact-digest", "", "`digest` of the deployed artifact, such as sha256:…; only for -format deployment and cdevents")
	f.StringVar(&o.rollbackOf, "rollback-of", "", "`ID` of the failed deployment that this one reverts; only for -format deployment and cdevents")
	f.StringVar(&o.incidentURL, "incident-url", "", "`URL` of the incident that this deployment should end; only for -format deployment and cdevents")
	f.Var(&o.metadata, "metadata", "`name=value`; repeat it, or give it once with commas between pairs. If repeated, commas are text. "+
		"In the environment, give one pair per line")
	f.Var(&o.networks, "allow-network", "private network `CIDR` to which requests are allowed, also by plain http; may be repeated")
	f.StringVar(&o.proxy, "proxy", "", "`URL` of a forward proxy, or env to use HTTPS_PROXY, HTTP_PROXY and NO_PROXY; default: none")
	f.StringVar(&o.stateDir, "state-dir", "", "`directory` in which -start stores its time for -finish; default: the runner's temporary directory")
	f.DurationVar(&o.timeout, "timeout", 90*time.Second, "total `time` limit for reading the run's data, all attempts and waits")
	f.BoolVar(&o.start, "start", false, "report the start of a deployment; -finish reports its end with the same deployment ID")
	f.BoolVar(&o.finish, "finish", false, "report the end of the deployment that -start reported")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the request without credentials as a JSON object, instead of sending it")
	f.BoolVar(&o.failOpen, "fail-open", false, "exit with 0 even if the report was not delivered, so that it cannot fail the deployment; wrong usage still exits with 2")
	f.BoolVar(&o.version, "version", false, "print the version of deploynotify itself and exit")
	f.Usage = func() { usage(f, out) }
	return f
}

func usage(f *flag.FlagSet, out io.Writer) {
	f.SetOutput(out)
	fmt.Fprint(out, `Usage: deploynotify -url URL -environment NAME -status STATUS [flags]

Reports a deployment from a pipeline. Every flag but -version can also be set
by an environment variable, such as DEPLOYHOOK_ALLOW_NETWORK for -allow-network.
Secrets are read only from the environment:

  DEPLOYHOOK_SECRET    whsec_… for -scheme standard, 16 bytes or more for other schemes
  DEPLOYHOOK_API_KEY   for -scheme bearer
  …_FILE               the file that contains one of them

Exit status: 0 delivered, 1 not delivered, 2 wrong usage.

`)
	f.PrintDefaults()
}

// parse reads the flags, then the variables of flags that were not given.
func parse(args []string, s system) (*options, error) {
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
		return nil, usagef("%d unexpected argument(s); give every value with a flag", f.NArg())
	}
	if o.version {
		return o, nil
	}
	if err := o.readVariables(f, s.getenv); err != nil {
		return nil, err
	}
	if o.stateDir == "" { // other users cannot write to a runner's temporary directory
		o.stateDir = cmp.Or(s.getenv("RUNNER_TEMP"), s.getenv("AGENT_TEMPDIRECTORY"), os.TempDir())
	}
	if o.url == "" {
		return nil, o.noURL(s)
	}
	return o, o.check()
}

// readVariables reads the variables of flags that were not given. -version has
// no variable, because DEPLOYHOOK_DEPLOY_VERSION is easily mistaken for it.
func (o *options) readVariables(f *flag.FlagSet, getenv func(string) string) (err error) {
	skip := map[string]bool{"version": true}
	f.Visit(func(g *flag.Flag) { skip[g.Name] = true })
	// A flag overrides the variables that it excludes. A variable is often set
	// for the whole job, but a flag for one step. -start=false excludes none.
	if o.start {
		skip["status"], skip["finish"] = true, true
	}
	if o.finish {
		skip["start"] = true
	}
	f.VisitAll(func(g *flag.Flag) {
		value := getenv(variableOf(g.Name))
		if err != nil || value == "" || skip[g.Name] {
			return
		}
		if e := g.Value.Set(value); e != nil {
			err = usagef("%s: invalid value (%v); -h lists the flags and their values", variableOf(g.Name), e)
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
