package ci

import (
	"context"
	"strings"
)

const fromGit = "git"

// askGit fills in what git knows, if the CI system left the commit open. In a pull request it does not: what is checked
// out there is as a rule the merge commit.
func (s *scan) askGit(ctx context.Context) error {
	r := s.run
	if s.env.Git == nil || r.CommitSHA != "" || r.IsPullRequest || r.Platform {
		return nil
	}
	if err := s.gitCommit(ctx); err != nil || r.CommitSHA == "" || r.System != "" {
		return err
	}
	r.System, r.Name = fromGit, "git"
	// Not --short: it answers heads/release where a tag is called release, too.
	branch, err := s.git(ctx, "symbolic-ref", "-q", "HEAD")
	if err != nil {
		return err
	}
	r.Branch = s.clean("branch", strings.TrimPrefix(strings.TrimSpace(branch), "refs/heads/"), fromGit)
	remote, err := s.git(ctx, "config", "--get", "remote.origin.url")
	if err != nil {
		return err
	}
	r.Repository = s.clean("service", repositoryPath(strings.TrimSpace(remote)), fromGit)
	r.Service = lastSegment(r.Repository)
	return nil
}

// gitCommit takes the commit that is checked out.
func (s *scan) gitCommit(ctx context.Context) error {
	out, err := s.git(ctx, "log", "-1", "--no-show-signature", "--no-color", "--encoding=UTF-8", "--format=%H%n%an%n%B")
	if err != nil {
		return err
	}
	r := s.run
	sha, rest, _ := strings.Cut(out, "\n")
	author, message, _ := strings.Cut(rest, "\n")
	if sha = strings.TrimSpace(sha); !isCommit(sha) {
		if r.System != "" {
			s.problem("commitSha", fromGit, "names no commit in the work tree (where it is owned by another user, git "+
				"needs safe.directory): give the commit")
		}
		return nil
	}
	r.CommitSHA, r.CommitMessage = sha, text(message)
	r.CommitAuthor = s.clean("commitSha", strings.TrimSpace(author), fromGit)
	s.solved("commitSha")
	s.keep("commit_from", fromGit)
	return nil
}

// git runs one command. That git is not there, or the directory not a work tree, is no error but an empty answer.
func (s *scan) git(ctx context.Context, args ...string) (string, error) {
	out, err := s.env.Git(ctx, args...)
	if ended := ctx.Err(); ended != nil {
		return "", ended
	}
	if err != nil {
		return "", nil
	}
	return out, nil
}
