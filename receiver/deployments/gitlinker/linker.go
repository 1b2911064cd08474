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
	// ErrConfig is wrapped by every error of [New]. The text names the option at fault.
	ErrConfig = errors.New("gitlinker: invalid configuration")
	// ErrUnknownService is for a [Lookup]: the organization has no repository for the service.
	ErrUnknownService = errors.New("gitlinker: no repository for this service")
	// ErrUnknownCommit is wrapped by the error for a commit that the repository does not have, that is not 5 to 40
	// hexadecimal digits, or that abbreviates several.
	ErrUnknownCommit = errors.New("gitlinker: unknown commit")
	// ErrShallow is wrapped by the error for a shallow clone, whose history ends somewhere.
	ErrShallow = errors.New("gitlinker: the repository is a shallow clone")
	// ErrRepository is wrapped by the error for a directory that is not a repository, or one that git can't read.
	ErrRepository = errors.New("gitlinker: the repository can't be read")
	// ErrTooLarge is wrapped by the error for a range of more commits or text than is allowed.
	ErrTooLarge = errors.New("gitlinker: too much history between the commits")
)

// Lookup returns the directory of a service's repository: a bare one, or a working copy. For one that it does not know it
// returns [ErrUnknownService]; an empty directory and no error means that there is deliberately none, and nothing to count.
//
// The service is the sender's text: it must not become part of a path. It must be safe for concurrent use.
type Lookup func(ctx context.Context, organization, service string) (dir string, err error)

// ByService returns a lookup for one organization, from services to directories; the service "" is for deployments that name none.
// Others' deployments are of unknown services. It copies the map.
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

// Linker counts pull requests. Make it with [New]. It is immutable and safe for concurrent use.
type Linker struct {
	config
	lookup Lookup
	slots  chan struct{} // one token for each link that runs git
}

var _ deployments.Linker = (*Linker)(nil)

// New returns a linker for the repositories that lookup finds. All configuration errors are reported at once and wrap [ErrConfig].
func New(lookup Lookup, opts ...Option) (*Linker, error) {
	c, err := newConfig(opts)
	if lookup == nil {
		err = errors.Join(err, fmt.Errorf("%w: the lookup is nil; make one with ByService", ErrConfig))
	}
	if err == nil {
		c.git, err = exec.LookPath(c.git)
		if err != nil {
			err = fmt.Errorf("%w: WithGit: %w; install git, or name its path", ErrConfig, err)
		}
	}
	if err != nil {
		return nil, err
	}
	return &Linker{config: c, lookup: lookup, slots: make(chan struct{}, c.processes)}, nil
}

// LinkedPRs is [deployments.Linker]: how many pull requests the deployment brought.
func (l *Linker) LinkedPRs(ctx context.Context, link deployments.Link) (int, error) {
	numbers, err := l.PullRequests(ctx, link)
	return len(numbers), err
}

// PullRequests returns the numbers of the pull requests that the deployment brought, in rising order. Errors wrap
// [ErrUnknownCommit], [ErrShallow], [ErrRepository], [ErrTooLarge], what the lookup returned ([ErrUnknownService] among it), or the
// context's.
func (l *Linker) PullRequests(ctx context.Context, link deployments.Link) ([]int, error) {
	if l == nil || l.lookup == nil {
		return nil, fmt.Errorf("%w: the Linker was not made with New; check the error of New", ErrConfig)
	}
	dir, err := l.lookup(ctx, link.Organization, link.Service)
	if err != nil {
		return nil, fmt.Errorf("gitlinker: service %.100q: %w", link.Service, err)
	}
	if dir == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("gitlinker: %w", ctx.Err())
	}
	return l.count(ctx, dir, link)
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

// gitDir returns where a repository's data are. It is given to git, which then does not look for a repository in the directories above.
func gitDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	inside := filepath.Join(dir, ".git") // a directory, or the file that a linked working copy has
	if _, err := os.Stat(inside); err == nil {
		return inside, nil
	}
	_, err = os.Stat(filepath.Join(dir, "HEAD"))
	return dir, err
}
