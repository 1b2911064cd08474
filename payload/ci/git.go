package ci

import (
	"context"
	"strings"
)

const fromGit = "git"

// askGit asks git for the values that the CI system did not provide. It does
// not ask in a pull request, because there the checked-out commit is usually
// the merge commit.
func (s *scan) askGit(ctx context.Context) error {
	r := s.run
	if s.env.Git == nil || r.CommitSHA != "" || r.IsPullRequest || r.Platform {
		return nil
	}
	if err := s.gitCommit(ctx); err != nil || r.CommitSHA == "" || r.System != "" {
		return err
	}
	r.System, r.Name = fromGit, "git"
	// Do not use --short. It returns heads/release if a tag named release
	// exists.
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

// gitCommit takes the checked-out commit.
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
			s.problem("commitSha", fromGit, "names no commit in the work tree (if another user owns it, git "+
				"needs safe.directory); set the commit")
		}
		return nil
	}
	r.CommitSHA, r.CommitMessage = sha, text(message)
	r.CommitAuthor = s.clean("commitSha", strings.TrimSpace(author), fromGit)
	s.solved("commitSha")
	s.keep("commit_from", fromGit)
	return nil
}

// git runs one command. If git is missing or the directory is not a work tree,
// git returns an empty answer instead of an error.
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
