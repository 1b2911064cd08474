package deployments

import (
	"context"
	"slices"
	"strings"

	"github.com/deployhook/deployhook/payload"
)

// fillPrevious sets the previous commits. It keeps one that the sender set.
func fillPrevious(ctx context.Context, tx Tx, r *Record) error {
	r.PreviousCommits = nil
	if r.PreviousGiven && len(r.Deployment.Commits) == 0 {
		return nil
	}
	previous, err := tx.Before(ctx, r.Position())
	if err != nil {
		return err
	}
	if !r.PreviousGiven {
		r.Deployment.PreviousCommitSHA = ""
	}
	if previous == nil {
		return nil
	}
	if !r.PreviousGiven {
		r.Deployment.PreviousCommitSHA = ownCommit(previous.Deployment, r.Deployment.RepositoryURL)
	}
	for _, c := range further(r.Deployment) {
		if commit := commitOf(previous.Deployment, c.RepositoryURL); commit != "" {
			r.PreviousCommits = append(r.PreviousCommits, RepositoryCommit{RepositoryURL: c.RepositoryURL, Commit: commit})
		}
	}
	return nil
}

// ownCommit returns the commit that d has of another deployment's own
// repository. One without a URL is the service's.
func ownCommit(d *payload.Deployment, url string) string {
	if url == "" || d.RepositoryURL == "" {
		return d.CommitSHA
	}
	return commitOf(d, url)
}

// commitOf returns the commit that d has of a repository, or "".
func commitOf(d *payload.Deployment, url string) string {
	if d.RepositoryURL == url {
		return d.CommitSHA
	}
	for _, c := range further(d) {
		if c.RepositoryURL == url {
			return c.CommitSHA
		}
	}
	return ""
}

// further returns the commits of repositories other than the deployment's own.
// If a repository has several, it returns the first one.
func further(d *payload.Deployment) []payload.RepositoryCommit {
	var list []payload.RepositoryCommit
	for _, c := range d.Commits {
		same := func(k payload.RepositoryCommit) bool { return k.RepositoryURL == c.RepositoryURL }
		if c.RepositoryURL != d.RepositoryURL && !slices.ContainsFunc(list, same) {
			list = append(list, c)
		}
	}
	return list
}

func (r *Record) linkCommits() []LinkCommit {
	var commits []LinkCommit
	for _, c := range further(r.Deployment) {
		link := LinkCommit{RepositoryURL: c.RepositoryURL, Commit: c.CommitSHA}
		for _, p := range r.PreviousCommits {
			if p.RepositoryURL == c.RepositoryURL {
				link.PreviousCommit = p.Commit
			}
		}
		commits = append(commits, link)
	}
	return commits
}

// span has the fields of a record that affect the previous commits of others.
type span struct {
	from    Position
	until   int64 // when it was rolled back, or 0
	commits string
}

func (r *Record) span() (s span, live bool) {
	if r == nil || r.SucceededAt.IsZero() {
		return span{}, false
	}
	d := r.Deployment
	parts := []string{d.RepositoryURL, d.CommitSHA}
	for _, c := range further(d) {
		parts = append(parts, c.RepositoryURL, c.CommitSHA)
	}
	s = span{from: r.Position(), commits: strings.Join(parts, "\n")} // a URL has no line break
	if d.Status != payload.StatusSuccess {
		s.until = d.CompletedAt.UnixMicro()
	}
	return s, true
}
