package dora

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// ErrConfig is wrapped by every error that a change of configuration fixes. The
// text names the option or the argument.
var ErrConfig = errors.New("dora: invalid configuration")

func configError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
}

// Option configures [Compute] and [New].
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	commits          Commits
	committerTime    bool
	withoutRollbacks bool
	marker           func(r deployments.Run, subject string) bool
	maxCommits       int
	problems         []error
}

// WithCommits sets where the history of commits comes from. Default: nowhere,
// and no deployment has lead times. Nil is an error.
func WithCommits(c Commits) Option {
	return optionFunc(func(o *config) {
		if nilable.IsNil(c) {
			o.problems = append(o.problems, configError("WithCommits: the source is nil; check the error of its constructor, or leave the option out"))
		}
		o.commits = c
	})
}

// WithCommitterTime counts lead times from the time of the committer. Default:
// from the time of the author, which a squash and a rebase keep.
func WithCommitterTime() Option {
	return optionFunc(func(o *config) { o.committerTime = true })
}

// WithoutRollbacks leaves rollbacks out of the deployments that the change fail
// rate is a share of. Default: they count, since they are deployments.
func WithoutRollbacks() Option {
	return optionFunc(func(o *config) { o.withoutRollbacks = true })
}

// WithMarker sets what tells a hotfix or a revert from other deployments.
// subject is the first line of the deployed commit's message. It is empty where
// that is not known. Default: [IsMarked]. Nil is an error. It must be safe for
// concurrent use.
func WithMarker(marked func(r deployments.Run, subject string) bool) Option {
	return optionFunc(func(o *config) {
		if marked == nil {
			o.problems = append(o.problems, configError("WithMarker: the function is nil; leave the option out"))
		}
		o.marker = marked
	})
}

// DefaultMaxCommits bounds the commits of one report.
const DefaultMaxCommits = 2_000_000

// WithMaxCommits bounds how many commits are read for one report, and how many
// a [Calculator] remembers. Each takes about 80 bytes. Default: 2,000,000
// ([DefaultMaxCommits]). Zero and negative values are errors.
func WithMaxCommits(n int) Option {
	return optionFunc(func(o *config) {
		if n < 1 {
			o.problems = append(o.problems, configError("WithMaxCommits(%d): want more than zero; leave it out for the default of %d", n, DefaultMaxCommits))
		}
		o.maxCommits = n
	})
}

var markedBranch = regexp.MustCompile(`^(?:hotfix|revert)(?:[-/]|$)`)

// IsMarked reports whether the branch name marks a hotfix or a revert, such as
// hotfix/login or revert-12-login, or whether git revert made the commit.
func IsMarked(r deployments.Run, subject string) bool {
	return markedBranch.MatchString(r.Branch) || strings.HasPrefix(subject, `Revert "`)
}

func newConfig(opts []Option) (*config, error) {
	c := &config{marker: IsMarked, maxCommits: DefaultMaxCommits}
	for _, o := range opts {
		if o == nil {
			c.problems = append(c.problems, configError("a nil Option was given; leave it out"))
			continue
		}
		o.apply(c)
	}
	return c, errors.Join(c.problems...)
}
