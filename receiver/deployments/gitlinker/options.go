package gitlinker

import (
	"errors"
	"fmt"
	"time"
)

// Defaults of the options.
const (
	// DefaultTimeout bounds one count.
	DefaultTimeout = 30 * time.Second
	// DefaultMaxCommits bounds the commits of one count.
	DefaultMaxCommits = 50_000
	// DefaultProcesses bounds the concurrent counts.
	DefaultProcesses = 4

	maxOutput  = 64 << 20 // bytes of commit messages
	maxHistory = 4 << 30  // bytes of a history without messages
)

// Option configures [New].
type Option interface {
	apply(*config)
}

type option func(*config)

func (o option) apply(c *config) { o(c) }

type config struct {
	git        string
	timeout    time.Duration
	maxCommits int
	processes  int
	byURL      map[organizationURL]string
}

// WithGit sets the path of the git command. Default: git in PATH. The empty
// string is an error.
func WithGit(path string) Option { return option(func(c *config) { c.git = path }) }

// WithTimeout bounds one count, including the wait for other counts. Default:
// 30 seconds ([DefaultTimeout]). Zero and negative values are errors. The
// endpoint's WithLinkTimeout may end it sooner.
func WithTimeout(d time.Duration) Option { return option(func(c *config) { c.timeout = d }) }

// WithMaxCommits bounds how many commits one count may read of each repository.
// A larger range fails with [ErrTooLarge]. Default: 50,000
// ([DefaultMaxCommits]). Zero and negative values are errors.
func WithMaxCommits(n int) Option { return option(func(c *config) { c.maxCommits = n }) }

// WithProcesses bounds how many counts run git at the same time. Other counts
// wait. Default: 4 ([DefaultProcesses]). Zero and negative values are errors.
func WithProcesses(n int) Option { return option(func(c *config) { c.processes = n }) }

// organizationURL is a repository URL in deployments of an organization.
type organizationURL struct{ organization, url string }

// WithRepositories sets the directories of repositories by URL, for the
// deployments of one organization. Default: none. An empty name, URL or
// directory is an error.
//
// The URL of a repository is looked up here first. If it is missing, a
// deployment's own repository is found by its service. A further repository is
// [ErrUnknownRepository], because the number would be too low.
func WithRepositories(organization string, dirs map[string]string) Option {
	return option(func(c *config) {
		if c.byURL == nil {
			c.byURL = make(map[organizationURL]string)
		}
		for url, dir := range dirs {
			c.byURL[organizationURL{organization, url}] = dir
		}
	})
}

func newConfig(opts []Option) (config, error) {
	c := config{git: "git", timeout: DefaultTimeout, maxCommits: DefaultMaxCommits, processes: DefaultProcesses}
	for _, o := range opts {
		if o == nil {
			return c, fmt.Errorf("%w: an option is nil; leave it out instead", ErrConfig)
		}
		o.apply(&c)
	}
	var problems []error
	for at, dir := range c.byURL {
		if at.organization == "" || at.url == "" || dir == "" {
			problems = append(problems, fmt.Errorf("%w: WithRepositories(%.100q): %.100q: %.100q: want an organization, a URL and a directory",
				ErrConfig, at.organization, at.url, dir))
		}
	}
	if c.git == "" {
		problems = append(problems, fmt.Errorf("%w: WithGit: the path is empty; leave the option out to find git in PATH", ErrConfig))
	}
	if c.timeout <= 0 {
		problems = append(problems, fmt.Errorf("%w: WithTimeout(%v): want more than zero; leave it out for the default of %v", ErrConfig, c.timeout, DefaultTimeout))
	}
	if c.maxCommits < 1 {
		problems = append(problems, fmt.Errorf("%w: WithMaxCommits(%d): want more than zero; leave it out for the default of %d", ErrConfig, c.maxCommits, DefaultMaxCommits))
	}
	if c.processes < 1 {
		problems = append(problems, fmt.Errorf("%w: WithProcesses(%d): want more than zero; leave it out for the default of %d", ErrConfig, c.processes, DefaultProcesses))
	}
	return c, errors.Join(problems...)
}
