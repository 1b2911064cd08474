package recovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/nilable"
)

// Defaults of the options.
const (
	// DefaultInterval is the time between the runs of [Client.Run].
	DefaultInterval = 10 * time.Minute
	// DefaultTimeout bounds one request to the API.
	DefaultTimeout = 30 * time.Second
	// DefaultMaxWait is the longest wait for a rate limit. GitHub's limits last up
	// to an hour.
	DefaultMaxWait = 65 * time.Minute
	// DefaultMaxAsks bounds how many deliveries one run asks for.
	DefaultMaxAsks = 1000
	// DefaultMaxAttempts is the number of failed attempts after which a delivery is
	// given up.
	DefaultMaxAttempts = 10
	// DefaultMaxEntries bounds how much of the log one run reads.
	DefaultMaxEntries = 200_000
)

const (
	// settle is how long a requested attempt may take until it is in the log with
	// its result. GitHub says that deliveries "can take a few minutes to be
	// delivered and to appear in the recent deliveries log"
	// (docs.github.com/webhooks/testing-and-troubleshooting-webhooks/troubleshooting-webhooks).
	settle = 15 * time.Minute
	// logLag is how late an attempt may appear in the log.
	logLag = 15 * time.Minute
	// firstBackoff is the time between the second attempt of a delivery and the
	// third. It doubles with each further one, up to maxBackoff.
	firstBackoff = 5 * time.Minute
	maxBackoff   = 24 * time.Hour

	maxTimeout = 10 * time.Minute
	maxPace    = time.Hour
)

// Option configures [New].
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	api          string
	insecureHTTP bool
	transport    http.RoundTripper
	logger       *slog.Logger
	observe      func(context.Context, Result, error)
	progress     func(context.Context, Progress)

	since       time.Time
	events      map[string]bool
	dryRun      bool
	interval    time.Duration
	timeout     time.Duration
	maxWait     time.Duration
	pace        time.Duration
	paceIsSet   bool
	maxAsks     int
	maxAttempts int
	maxEntries  int

	mistakes []error
}

func configError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
}

func (c *config) mistake(option, format string, args ...any) {
	c.mistakes = append(c.mistakes, configError("%s: %s", option, fmt.Sprintf(format, args...)))
}

func (c *config) notNil(option string, isNil bool) {
	if isNil {
		c.mistake(option, "the value is nil; leave the option out")
	}
}

func (c *config) between(option string, d, least, most time.Duration) {
	if d < least || d > most {
		c.mistake(option, "%v: want %v to %v", d, least, most)
	}
}

func (c *config) positive(option string, n int) {
	if n < 1 {
		c.mistake(option, "%d: want at least 1", n)
	}
}

// WithAPI sets the URL of the API, such as "https://github.example.com/api/v3"
// for GitHub Enterprise Server or "https://gitlab.example.com/api/v4".
// Default: that of github.com or gitlab.com. The URL must have https, see
// [InsecureHTTP].
func WithAPI(url string) Option {
	return optionFunc(func(c *config) { c.api = url })
}

// InsecureHTTP permits a URL with plain http in [WithAPI]. Default: off. The
// risk is that anyone on the way can read the token. Use it only for tests on
// the same machine.
func InsecureHTTP() Option {
	return optionFunc(func(c *config) { c.insecureHTTP = true })
}

// WithTransport sets what makes the requests, for a proxy or an own certificate
// authority. Default: [http.DefaultTransport]. Nil is an error. A panic in it
// fails the request, see [Client.Faults].
func WithTransport(t http.RoundTripper) Option {
	return optionFunc(func(c *config) {
		c.transport = t
		c.notNil("WithTransport", nilable.IsNil(t))
	})
}

// WithLogger sets where each run writes one line. Default: [slog.Default]. Nil
// is an error. Lines never contain a token.
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(c *config) {
		c.logger = l
		c.notNil("WithLogger", l == nil)
	})
}

// WithObserver sets a function that gets the result of every run, for metrics
// or to store [Result].CompleteUntil. Default: none. Nil is an error. The run
// waits for it, but not after its context has ended. A panic in it is
// contained, see [Client.Faults].
func WithObserver(f func(context.Context, Result, error)) Option {
	return optionFunc(func(c *config) {
		c.observe = f
		c.notNil("WithObserver", f == nil)
	})
}

// WithProgress sets a function that is called after each page of the log, after
// each ask, and before a long wait, for a program that a person watches.
// Default: none. Nil is an error. It is treated like that of [WithObserver].
func WithProgress(f func(context.Context, Progress)) Option {
	return optionFunc(func(c *config) {
		c.progress = f
		c.notNil("WithProgress", f == nil)
	})
}

// WithSince sets the time from which the log is read. Default: the zero time,
// which reads all that the platform has. Use [Result].CompleteUntil of an
// earlier run, or the time at which the webhook began to matter.
func WithSince(t time.Time) Option {
	return optionFunc(func(c *config) { c.since = t })
}

// WithEvents limits the client to these events, such as "deployment_status" on
// GitHub or "deployment_hooks" on GitLab. Default: all events. Naming none is
// an error. Repeated options add up.
func WithEvents(names ...string) Option {
	return optionFunc(func(c *config) {
		if len(names) == 0 {
			c.mistake("WithEvents", "names no event; leave the option out")
		}
		if c.events == nil {
			c.events = map[string]bool{}
		}
		for _, name := range names {
			c.events[name] = true
		}
	})
}

// WithDryRun makes runs list what is missing without asking for it. Default:
// off.
func WithDryRun() Option {
	return optionFunc(func(c *config) { c.dryRun = true })
}

// WithInterval sets the time between the runs of [Client.Run]. Default: 10
// minutes ([DefaultInterval]). From a minute to a day.
func WithInterval(d time.Duration) Option {
	return optionFunc(func(c *config) {
		c.interval = d
		c.between("WithInterval", d, time.Minute, 24*time.Hour)
	})
}

// WithTimeout bounds each request to the API, with the call of the token.
// Default: 30 s ([DefaultTimeout]). From a second to 10 minutes. GitLab answers
// an ask only after the receiver has answered.
func WithTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) {
		c.timeout = d
		c.between("WithTimeout", d, time.Second, maxTimeout)
	})
}

// WithMaxWait bounds each wait for a rate limit. A run that would have to wait
// longer ends with [ErrRateLimited]. Default: 65 minutes ([DefaultMaxWait]).
// Zero waits for no rate limit. At most a day.
func WithMaxWait(d time.Duration) Option {
	return optionFunc(func(c *config) {
		c.maxWait = d
		c.between("WithMaxWait", d, 0, 24*time.Hour)
	})
}

// WithPace sets the least time between two asks. Default: 1 s for GitHub and 12
// s for GitLab, which permits five a minute. Zero does not wait, for an own
// instance without limits. At most an hour.
func WithPace(d time.Duration) Option {
	return optionFunc(func(c *config) {
		c.pace, c.paceIsSet = d, true
		c.between("WithPace", d, 0, maxPace)
	})
}

// WithMaxAsks bounds how many deliveries one run asks for. The others are left
// for the next run. Default: 1,000 ([DefaultMaxAsks]). At least 1.
func WithMaxAsks(n int) Option {
	return optionFunc(func(c *config) {
		c.maxAsks = n
		c.positive("WithMaxAsks", n)
	})
}

// WithMaxAttempts sets after how many failed attempts a delivery is given up.
// Default: 10 ([DefaultMaxAttempts]), of which the last comes about a day and a
// half after the first. At least 1, which asks for nothing.
func WithMaxAttempts(n int) Option {
	return optionFunc(func(c *config) {
		c.maxAttempts = n
		c.positive("WithMaxAttempts", n)
	})
}

// WithMaxEntries bounds how much of the log one run reads, because it keeps the
// GUIDs in memory. A longer log gives [ErrTooLarge], and nothing is asked for.
// Default: 200,000 attempts ([DefaultMaxEntries]), which take about 20 MB. At
// least 1.
func WithMaxEntries(n int) Option {
	return optionFunc(func(c *config) {
		c.maxEntries = n
		c.positive("WithMaxEntries", n)
	})
}

func newConfig(log Log, token Token, opts []Option) (config, error) {
	c := config{
		transport: http.DefaultTransport, logger: slog.Default(), interval: DefaultInterval, timeout: DefaultTimeout,
		maxWait: DefaultMaxWait, maxAsks: DefaultMaxAsks, maxAttempts: DefaultMaxAttempts, maxEntries: DefaultMaxEntries,
	}
	switch {
	case log.platform == nil:
		c.mistakes = append(c.mistakes, configError("the Log is zero; make one with a function such as GitHubRepository"))
	case log.mistake != "":
		c.mistakes = append(c.mistakes, configError("%s", log.mistake))
	default:
		c.api, c.pace = log.platform.api(), log.platform.limits().pace
	}
	if token == nil {
		c.mistakes = append(c.mistakes, configError("the Token is nil; return the token from a function"))
	}
	for _, o := range opts {
		if o == nil {
			c.mistakes = append(c.mistakes, configError("an option is nil; leave it out"))
			continue
		}
		o.apply(&c)
	}
	if log.platform != nil {
		c.checkAPI()
	}
	return c, errors.Join(c.mistakes...)
}

// checkAPI checks where the token may go.
func (c *config) checkAPI() {
	u, err := url.Parse(c.api)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		c.mistake("WithAPI", "want a URL such as https://github.example.com/api/v3, without user, query and fragment")
	case u.Scheme == "http" && c.insecureHTTP, u.Scheme == "https":
		c.api = strings.TrimRight(c.api, "/")
	default:
		c.mistake("WithAPI", "the scheme is %.20q; only https keeps the token secret", u.Scheme)
	}
}
