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
	// ErrUnknownRepository is wrapped by the error for a further repository of a
	// deployment that [WithRepositories] does not list.
	ErrUnknownRepository = errors.New("gitlinker: no directory for this repository")
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

// PullRequest is a pull request in a deployment.
type PullRequest struct {
	// RepositoryURL is the URL in the deployment. It is empty if the deployment
	// names none for its own repository.
	RepositoryURL string
	Number        int
}

// LinkedPRs implements [deployments.Linker]. It returns the number of pull
// requests in the deployment.
func (l *Linker) LinkedPRs(ctx context.Context, link deployments.Link) (int, error) {
	found, err := l.PullRequests(ctx, link)
	return len(found), err
}

// PullRequests returns the pull requests in the deployment: those of its own
// repository, and then those of each further one, in ascending order of their
// numbers. If one repository can't be read, there is no result.
//
// Its errors wrap [ErrUnknownCommit], [ErrUnknownRepository], [ErrShallow],
// [ErrRepository], [ErrTooLarge], the lookup's error such as
// [ErrUnknownService], or the context's error.
func (l *Linker) PullRequests(ctx context.Context, link deployments.Link) ([]PullRequest, error) {
	if l == nil || l.lookup == nil {
		return nil, fmt.Errorf("%w: the Linker was not made with New; check the error of New", ErrConfig)
	}
	ranges, err := l.ranges(ctx, link)
	if err != nil || len(ranges) == 0 {
		return nil, err
	}
	ctx, done, err := l.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var all []PullRequest
	type place struct {
		dir    string
		number int
	}
	seen := make(map[place]bool) // two URLs may have one directory
	for _, r := range ranges {
		numbers, err := l.count(ctx, r)
		if err != nil {
			return nil, err
		}
		for _, n := range numbers {
			if !seen[place{r.dir, n}] {
				seen[place{r.dir, n}] = true
				all = append(all, PullRequest{r.RepositoryURL, n})
			}
		}
	}
	return all, nil
}

// commitRange is what a deployment took from one repository.
type commitRange struct {
	deployments.LinkCommit
	dir     string
	further bool
}

// ranges finds the repositories of a deployment. It leaves out a service
// without a repository.
func (l *Linker) ranges(ctx context.Context, link deployments.Link) ([]commitRange, error) {
	var ranges []commitRange
	dir, err := l.directory(ctx, link.Organization, link.Service, link.RepositoryURL)
	if err != nil {
		return nil, err
	}
	if dir != "" {
		own := deployments.LinkCommit{RepositoryURL: link.RepositoryURL, Commit: link.Commit, PreviousCommit: link.PreviousCommit}
		ranges = append(ranges, commitRange{LinkCommit: own, dir: dir})
	}
	for _, c := range link.Commits {
		dir, ok := l.byURL[organizationURL{link.Organization, c.RepositoryURL}]
		if !ok {
			return nil, fmt.Errorf("%w: %.200q: set its directory with WithRepositories", ErrUnknownRepository, c.RepositoryURL)
		}
		ranges = append(ranges, commitRange{LinkCommit: c, dir: dir, further: true})
	}
	return ranges, nil
}

// directory returns the directory of a deployment's own repository.
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

// count returns the numbers of the pull requests of one repository, in
// ascending order.
func (l *Linker) count(ctx context.Context, r commitRange) ([]int, error) {
	numbers, err := l.numbers(ctx, r)
	if err != nil && r.further {
		return nil, fmt.Errorf("repository %.200q: %w", r.RepositoryURL, err)
	}
	return numbers, err
}

func (l *Linker) numbers(ctx context.Context, r commitRange) ([]int, error) {
	if !validCommit.MatchString(r.Commit) || r.PreviousCommit != "" && !validCommit.MatchString(r.PreviousCommit) {
		return nil, fmt.Errorf("%w: not 5 to 40 hexadecimal digits", ErrUnknownCommit)
	}
	repo, err := l.open(ctx, r.dir)
	if err != nil {
		return nil, err
	}
	commit, err := repo.resolve(ctx, r.Commit)
	if err != nil {
		return nil, err
	}
	previous := ""
	if r.PreviousCommit != "" {
		if previous, err = repo.resolve(ctx, r.PreviousCommit); err != nil {
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
