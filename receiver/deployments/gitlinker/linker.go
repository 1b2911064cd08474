package gitlinker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/deployhook/deployhook/receiver/deployments"
)

var (
	// ErrConfig is wrapped by every error of [New]. The text names the option
	// to change.
	ErrConfig = errors.New("gitlinker: invalid configuration")
	// ErrUnknownService is returned by a [Lookup] if the organization has no
	// repository for the service.
	ErrUnknownService = errors.New("gitlinker: no repository for this service")
	// ErrUnknownCommit is wrapped by the error for a commit that is not in the
	// repository, is ambiguous, or is not 5 to 40 hexadecimal digits.
	ErrUnknownCommit = errors.New("gitlinker: unknown commit")
	// ErrShallow is wrapped by the error for a shallow clone, which lacks older
	// commits.
	ErrShallow = errors.New("gitlinker: the repository is a shallow clone")
	// ErrRepository is wrapped by the error for a directory that is not a git
	// repository or that git cannot read.
	ErrRepository = errors.New("gitlinker: cannot read the repository")
	// ErrTooLarge is wrapped by the error for a range with more commits or text
	// than allowed.
	ErrTooLarge = errors.New("gitlinker: too much history between the commits")
)

// Lookup returns the directory of a service's repository. It must be safe for
// concurrent use.
//
//	repository                   result
//	bare, or a working copy      its directory
//	none on purpose              "", nil: the number is 0
//	unknown service              ErrUnknownService
//
// The sender chooses the service. It must not become part of a path.
type Lookup func(ctx context.Context, organization, service string) (dir string, err error)

// ByService returns a lookup for one organization. dirs maps services to
// directories. Its key "" is for deployments without a service. The services of
// other organizations are unknown. ByService copies dirs.
func ByService(organization string, dirs map[string]string) Lookup {
	dirs = maps.Clone(dirs)
	return func(_ context.Context, org, service string) (string, error) {
		dir, ok := dirs[service]
		if !ok || org != organization {
			return "", ErrUnknownService
		}
		return dir, nil
	}
}

// Linker counts pull requests. Make it with [New]. It is immutable and safe for
// concurrent use.
type Linker struct {
	config
	lookup Lookup
	slots  chan struct{} // limits the number of links that run git
}

var _ deployments.Linker = (*Linker)(nil)

// New returns a linker for the repositories that lookup finds. It reports all
// configuration errors at once, and they wrap [ErrConfig].
func New(lookup Lookup, opts ...Option) (*Linker, error) {
	c, err := newConfig(opts)
	if lookup == nil {
		err = errors.Join(err, fmt.Errorf("%w: the lookup is nil; make one with ByService", ErrConfig))
	}
	if err == nil {
		c.git, err = exec.LookPath(c.git)
		if err != nil {
			err = fmt.Errorf("%w: WithGit: %w; install git, or set its path", ErrConfig, err)
		}
	}
	if err != nil {
		return nil, err
	}
	return &Linker{config: c, lookup: lookup, slots: make(chan struct{}, c.processes)}, nil
}

// LinkedPRs implements [deployments.Linker]. It returns the number of pull
// requests in the deployment.
func (l *Linker) LinkedPRs(ctx context.Context, link deployments.Link) (int, error) {
	numbers, err := l.PullRequests(ctx, link)
	return len(numbers), err
}

// PullRequests returns the numbers of the pull requests in the deployment, in
// ascending order. Its errors wrap [ErrUnknownCommit], [ErrShallow],
// [ErrRepository], [ErrTooLarge], the lookup's error such as
// [ErrUnknownService], or the context's error.
func (l *Linker) PullRequests(ctx context.Context, link deployments.Link) ([]int, error) {
	if l == nil || l.lookup == nil {
		return nil, fmt.Errorf("%w: the Linker was not made with New; check the error of New", ErrConfig)
	}
	dir, err := l.directory(ctx, link.Organization, link.Service, link.RepositoryURL)
	if err != nil || dir == "" {
		return nil, err
	}
	ctx, done, err := l.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return l.count(ctx, dir, link)
}

// directory returns the directory of a deployment's repository.
func (l *Linker) directory(ctx context.Context, organization, service, url string) (string, error) {
	if dir, ok := l.byURL[organizationURL{organization, url}]; ok {
		return dir, nil
	}
	dir, err := l.lookup(ctx, organization, service)
	if err != nil {
		return "", fmt.Errorf("gitlinker: service %.100q: %w", service, err)
	}
	return dir, nil
}

// begin waits until git may run. Call done afterwards.
func (l *Linker) begin(ctx context.Context) (limited context.Context, done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	select {
	case l.slots <- struct{}{}:
		return ctx, func() { <-l.slots; cancel() }, nil
	case <-ctx.Done():
		cancel()
		return nil, nil, fmt.Errorf("gitlinker: %w", ctx.Err())
	}
}

func (l *Linker) count(ctx context.Context, dir string, link deployments.Link) ([]int, error) {
	if !validCommit.MatchString(link.Commit) || link.PreviousCommit != "" && !validCommit.MatchString(link.PreviousCommit) {
		return nil, fmt.Errorf("%w: not 5 to 40 hexadecimal digits", ErrUnknownCommit)
	}
	repo, err := l.open(ctx, dir)
	if err != nil {
		return nil, err
	}
	commit, err := repo.resolve(ctx, link.Commit)
	if err != nil {
		return nil, err
	}
	previous := ""
	if link.PreviousCommit != "" {
		if previous, err = repo.resolve(ctx, link.PreviousCommit); err != nil {
			return nil, fmt.Errorf("the previous commit: %w", err)
		}
	}
	found := make(map[int]bool)
	err = repo.walk(ctx, commit, previous, func(subject, body string) {
		if n := pullRequest(subject, body); n > 0 {
			found[n] = true
		}
	})
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(found)), nil
}

var validCommit = regexp.MustCompile(`^[0-9a-fA-F]{5,40}$`)

// gitDir returns the directory with a repository's data. With it git does not
// search parent directories for a repository.
func gitDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	inside := filepath.Join(dir, ".git") // a directory, or the file of a linked worktree
	if _, err := os.Stat(inside); err == nil {
		return inside, nil
	}
	_, err = os.Stat(filepath.Join(dir, "HEAD"))
	return dir, err
}
