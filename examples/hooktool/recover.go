package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/deployhook/deployhook/receiver/recovery"
)

// The environment variables of recover. A management API has another token, so
// that neither goes to the wrong place.
const (
	platformVariable = "HOOKTOOL_PLATFORM_TOKEN"
	appKeyVariable   = "HOOKTOOL_GITHUB_APP_KEY"
)

func recoverCommand() command {
	return command{
		name:    "recover",
		summary: "let GitHub or GitLab send again what was missed",
		about: `Reads the delivery log of a webhook, finds the deliveries that your endpoint
never accepted, and asks GitHub or GitLab to send them again, the oldest first.
They arrive by the normal path, where your receiver verifies them and
recognises duplicates. GitHub keeps deliveries for 3 days, and GitLab for 7.

Name one log: -github-app, -github-org, -github-repo, -gitlab-project or
-gitlab-group. All but -github-app need -hook, the number at the end of the URL
of the webhook's settings.

  HOOKTOOL_PLATFORM_TOKEN   the token of GitHub or GitLab
  HOOKTOOL_GITHUB_APP_KEY   the App's private key (PEM), with -github-app
  ..._FILE                  a file that contains one of them

With -dry-run it only lists what is missing, and exits with 1 if there is any.
Without, it exits with 1 if a delivery was refused, failed or is unconfirmed.
Deliveries that are asked for again are not yet handled. Run it again after 15
minutes to see what is left.`,
		examples: `hooktool recover -github-repo acme/api -hook 4711 -dry-run
hooktool recover -github-app Iv23liExample -since 6h
hooktool recover -gitlab-project acme/api -hook 42 -event deployment_hooks -json`,
		setup: func(f *flag.FlagSet) func(context.Context, *call) error {
			r := new(recoverFlags)
			r.declare(f)
			return func(ctx context.Context, c *call) error { return r.run(ctx, c) }
		},
	}
}

// recoverFlags are the flags of recover.
type recoverFlags struct {
	app, org, repo, project, group string
	hook                           int64
	api                            string
	insecure, dryRun               bool
	since, events                  string
	maxAsks, maxAttempts           int
	maxWait, pace                  time.Duration
}

func (r *recoverFlags) declare(f *flag.FlagSet) {
	f.StringVar(&r.app, "github-app", "", "the `client ID` of a GitHub App")
	f.StringVar(&r.org, "github-org", "", "an `organization` on GitHub")
	f.StringVar(&r.repo, "github-repo", "", "the `OWNER/REPOSITORY` on GitHub")
	f.StringVar(&r.project, "gitlab-project", "", "the `path` or number of a project on GitLab")
	f.StringVar(&r.group, "gitlab-group", "", "the `path` or number of a group on GitLab")
	f.Int64Var(&r.hook, "hook", 0, "the `number` of the webhook")
	f.StringVar(&r.api, "api", "", "the `URL` of another instance's API, such as https://github.example.com/api/v3")
	f.BoolVar(&r.insecure, "insecure-http", false, "permit http in -api; everyone on the way can read the token")
	f.BoolVar(&r.dryRun, "dry-run", false, "list what is missing, and ask for nothing")
	f.StringVar(&r.since, "since", "", "read the log from this `time` on, as in 6h or 2026-11-28T09:00:00Z; default: all of it")
	f.StringVar(&r.events, "event", "", "only these `events`, separated by commas, such as deployment_status; default: all")
	f.IntVar(&r.maxAsks, "max", recovery.DefaultMaxAsks, "ask for at most this `number` of deliveries")
	f.IntVar(&r.maxAttempts, "max-attempts", recovery.DefaultMaxAttempts, "give up a delivery after this `number` of failed attempts")
	f.DurationVar(&r.maxWait, "max-wait", recovery.DefaultMaxWait, "wait at most this `time` for a rate limit")
	f.DurationVar(&r.pace, "pace", 0, "wait at least this `time` between two asks; default: 1s for GitHub, 12s for GitLab")
}

func (r *recoverFlags) run(ctx context.Context, c *call) error {
	if len(c.args) > 0 {
		return usagef("%d unexpected argument(s); give every value with a flag", len(c.args))
	}
	log, err := r.log()
	if err != nil {
		return err
	}
	token, err := r.token(c)
	if err != nil {
		return err
	}
	opts, err := r.options(c)
	if err != nil {
		return err
	}
	progress := &recoverProgress{call: c}
	client, err := recovery.New(log, token, append(opts, recovery.WithProgress(progress.show))...)
	if err != nil {
		return usagef("%s", inFlags(err))
	}
	result, err := client.Recover(ctx)
	if err == nil || result.Count() > 0 { // the log was read to its end
		r.print(c, result)
	}
	switch {
	case err != nil:
		return errors.New(inFlags(err))
	case result.Count(recovery.Listed, recovery.Failed, recovery.Unconfirmed, recovery.Refused) > 0:
		return errFault
	}
	return nil
}

// log returns the log that the flags name.
func (r *recoverFlags) log() (recovery.Log, error) {
	named := 0
	for _, name := range []string{r.app, r.org, r.repo, r.project, r.group} {
		if name != "" {
			named++
		}
	}
	owner, repository, _ := strings.Cut(r.repo, "/")
	switch {
	case named != 1:
		return recovery.Log{}, usagef("name one log with -github-app, -github-org, -github-repo, -gitlab-project or -gitlab-group")
	case r.app != "" && r.hook != 0:
		return recovery.Log{}, usagef("-hook: an App has only one webhook; leave it out")
	case r.app != "":
		return recovery.GitHubApp(), nil
	case r.hook <= 0:
		return recovery.Log{}, usagef("-hook: want the number at the end of the URL of the webhook's settings")
	case r.org != "":
		return recovery.GitHubOrganization(r.org, r.hook), nil
	case r.repo != "":
		return recovery.GitHubRepository(owner, repository, r.hook), nil
	case r.project != "":
		return recovery.GitLabProject(r.project, r.hook), nil
	}
	return recovery.GitLabGroup(r.group, r.hook), nil
}

// token reads the file of a token again for each request, since another program
// may renew it during a long wait.
func (r *recoverFlags) token(c *call) (recovery.Token, error) {
	variable := platformVariable
	if r.app != "" {
		variable = appKeyVariable
	}
	first, err := c.credential(variable)
	if err != nil {
		return nil, err
	}
	if !first.given() {
		return nil, usagef("set %s, or %s_FILE to a file", variable, variable)
	}
	if r.app != "" {
		token, err := recovery.GitHubAppToken(r.app, []byte(first.reveal()))
		if err != nil {
			return nil, usagef("%s: want the App's private key, the PEM file from its settings", first.source)
		}
		return token, nil
	}
	return func(context.Context) (string, error) {
		current, err := c.credential(variable)
		return current.reveal(), err
	}, nil
}

func (r *recoverFlags) options(c *call) ([]recovery.Option, error) {
	opts := []recovery.Option{
		recovery.WithLogger(slog.New(slog.DiscardHandler)), recovery.WithMaxAsks(r.maxAsks),
		recovery.WithMaxAttempts(r.maxAttempts), recovery.WithMaxWait(r.maxWait),
	}
	if c.given["api"] {
		opts = append(opts, recovery.WithAPI(r.api))
	}
	if r.insecure {
		opts = append(opts, recovery.InsecureHTTP())
	}
	if c.given["pace"] {
		opts = append(opts, recovery.WithPace(r.pace))
	}
	if r.dryRun {
		opts = append(opts, recovery.WithDryRun())
	}
	if r.events != "" {
		opts = append(opts, recovery.WithEvents(strings.Split(r.events, ",")...))
	}
	if r.since != "" {
		since, err := sinceTime(r.since, c.now())
		if err != nil {
			return nil, err
		}
		opts = append(opts, recovery.WithSince(since))
	}
	return opts, nil
}

// sinceTime reads an age such as 6h, or a time.
func sinceTime(text string, now time.Time) (time.Time, error) {
	if age, err := time.ParseDuration(text); err == nil && age > 0 {
		return now.Add(-age), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, usagef("-since %q: want an age such as 6h, or a time such as 2026-11-28T09:00:00Z", cut(text, 40))
	}
	return at, nil
}

// inFlags names flags in an error of package recovery.
func inFlags(err error) string {
	return strings.NewReplacer(
		"recovery: invalid configuration: ", "", "recovery: ", "", "WithAPI", "-api", "WithMaxAsks", "-max", "WithMaxAttempts", "-max-attempts",
		"WithMaxWait", "-max-wait", "WithPace", "-pace", "WithSince", "-since", ", or raise WithMaxEntries", "", "WithEvents", "-event",
		"GitHubRepository", "-github-repo", "GitHubOrganization", "-github-org", "GitLabProject", "-gitlab-project", "GitLabGroup", "-gitlab-group",
		"the Token", "the token",
	).Replace(err.Error())
}

// maxRows is the number of deliveries that are shown to people.
const maxRows = 100

func (r *recoverFlags) print(c *call, result recovery.Result) {
	if c.json {
		for _, m := range result.Missed {
			c.printJSON(struct {
				Kind string `json:"kind"`
				recovery.Missed
			}{"missed", m})
		}
		c.printJSON(r.summary(result))
		return
	}
	rows := [][]string{{"FIRST ATTEMPT", "DELIVERY", "EVENT", "ATTEMPTS", "LAST STATUS", "RESULT"}}
	for _, m := range result.Missed[:min(len(result.Missed), maxRows)] {
		first := "unknown"
		if !m.First.IsZero() {
			first = m.First.UTC().Format(time.DateTime)
		}
		event := printable(strings.TrimSuffix(m.Event+"."+m.Action, "."), 40)
		state := string(m.Outcome)
		if m.Reason != "" {
			state += ": " + inFlags(errors.New(m.Reason))
		}
		rows = append(rows, []string{first, printable(m.GUID, 40), event, fmt.Sprint(m.Attempts), printable(m.Status, 40), printable(state, 160)})
	}
	if len(rows) > 1 {
		printTable(c.stdout, rows)
	}
	if more := len(result.Missed) - maxRows; more > 0 {
		fmt.Fprintf(c.stdout, "… and %d more; -json prints all\n", more)
	}
	fmt.Fprintln(c.stdout, sentence(result))
}

// recoverSummary is the last line of -json.
type recoverSummary struct {
	Kind          string                   `json:"kind"`
	Examined      int                      `json:"examined"`
	Missed        int                      `json:"missed"`
	Outcomes      map[recovery.Outcome]int `json:"outcomes"`
	DryRun        bool                     `json:"dryRun"`
	Oldest        time.Time                `json:"oldest,omitzero"`
	CompleteUntil time.Time                `json:"completeUntil,omitzero"`
}

func (r *recoverFlags) summary(result recovery.Result) recoverSummary {
	outcomes := map[recovery.Outcome]int{}
	for _, m := range result.Missed {
		outcomes[m.Outcome]++
	}
	return recoverSummary{"summary", result.Examined, result.Count(), outcomes, r.dryRun, result.Oldest, result.CompleteUntil}
}

// sentence says what happened.
func sentence(result recovery.Result) string {
	text := fmt.Sprintf("%s read, %d missed", plural(result.Examined, "attempt"), result.Count())
	separator := ": "
	for _, o := range []recovery.Outcome{
		recovery.Listed, recovery.Asked, recovery.Pending, recovery.Deferred, recovery.Unconfirmed, recovery.Failed, recovery.Refused,
	} {
		if n := result.Count(o); n > 0 {
			text += fmt.Sprintf("%s%d %s", separator, n, o)
			separator = ", "
		}
	}
	return text
}

// recoverProgress shows people on the standard error how far a run is.
type recoverProgress struct {
	*call
	shown time.Time
}

func (p *recoverProgress) show(_ context.Context, now recovery.Progress) {
	waits := !now.WaitUntil.IsZero()
	last := now.ToAsk > 0 && now.Done == now.ToAsk
	if !waits && !last && p.now().Sub(p.shown) < time.Second {
		return
	}
	p.shown = p.now()
	switch {
	case waits:
		fmt.Fprintf(p.stderr, "waiting until %s UTC for %s\n", now.WaitUntil.UTC().Format(time.TimeOnly), inFlags(errors.New(now.Reason)))
	case now.ToAsk == 0:
		fmt.Fprintf(p.stderr, "read %s\n", plural(now.Examined, "attempt"))
	default:
		fmt.Fprintf(p.stderr, "asked for %d of %d\n", now.Done, now.ToAsk)
	}
}
