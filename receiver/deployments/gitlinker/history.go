package gitlinker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/receiver/deployments/dora"
)

var _ dora.Commits = (*Linker)(nil)

// openFor opens the repository of deployments. The error wraps
// [dora.ErrNoHistory] if there is no readable one.
func (l *Linker) openFor(ctx context.Context, r dora.Repository) (*repository, error) {
	dir := l.byURL[organizationURL{r.Organization, r.URL}]
	if dir == "" && r.Further {
		return nil, fmt.Errorf("gitlinker: repository %.100q: %w; set its directory with WithRepositories", r.URL, dora.ErrNoHistory)
	}
	var err error
	if dir == "" {
		dir, err = l.lookup(ctx, r.Organization, r.Service)
	}
	if errors.Is(err, ErrUnknownService) || err == nil && dir == "" {
		return nil, fmt.Errorf("gitlinker: service %.100q: %w", r.Service, errors.Join(dora.ErrNoHistory, err))
	}
	if err != nil {
		return nil, fmt.Errorf("gitlinker: service %.100q: %w", r.Service, err)
	}
	repo, err := l.open(ctx, dir)
	if errors.Is(err, ErrShallow) {
		return nil, errors.Join(dora.ErrNoHistory, err)
	}
	return repo, err
}

// Resolve implements [dora.Commits]. It looks up all commits with 40 digits at
// once.
func (l *Linker) Resolve(ctx context.Context, r dora.Repository, names []string) ([]dora.Resolved, error) {
	if l == nil || l.lookup == nil {
		return nil, fmt.Errorf("%w: the Linker was not made with New; check the error of New", ErrConfig)
	}
	ctx, done, err := l.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	repo, err := l.openFor(ctx, r)
	if err != nil {
		return nil, err
	}
	full, err := repo.complete(ctx, names)
	if err != nil {
		return nil, err
	}
	subjects, err := repo.subjects(ctx, full)
	if err != nil {
		return nil, err
	}
	found := make([]dora.Resolved, len(names))
	for i, name := range full {
		subject, ok := subjects[name]
		if !ok {
			continue
		}
		id, ok := dora.ParseCommitID(name)
		found[i] = dora.Resolved{ID: id, Known: ok, Subject: subject}
	}
	return found, nil
}

// complete replaces abbreviated names with full ones, or with "" if there is no
// such commit.
func (r *repository) complete(ctx context.Context, names []string) ([]string, error) {
	format, err := r.output(ctx, "", "rev-parse", "--show-object-format")
	if err != nil {
		return nil, err
	}
	digits := 40
	if strings.TrimSpace(format) == "sha256" {
		digits = 64
	}
	full := make([]string, len(names))
	for i, name := range names {
		switch {
		case !validCommit.MatchString(name):
		case len(name) == digits:
			full[i] = name
		default:
			commit, err := r.resolve(ctx, name)
			if err != nil && !errors.Is(err, ErrUnknownCommit) {
				return nil, err
			}
			full[i] = commit
		}
	}
	return full, nil
}

// subjects returns the first line of the message of each existing commit.
func (r *repository) subjects(ctx context.Context, commits []string) (map[string]string, error) {
	var input strings.Builder
	for _, c := range commits {
		if c != "" {
			input.WriteString(c + "\n")
		}
	}
	found := make(map[string]string)
	if input.Len() == 0 { // otherwise git uses HEAD
		return found, nil
	}
	args := []string{"rev-list", "--no-walk=unsorted", "--ignore-missing", "--encoding=UTF-8", "--format=%s", "--stdin"}
	err := r.run(ctx, input.String(), args, func(out io.Reader) error {
		in := bufio.NewReader(out)
		for {
			header, err := in.ReadString('\n')
			if err == io.EOF {
				return nil
			}
			subject, subjectErr := in.ReadString('\n')
			if err := errors.Join(err, subjectErr); err != nil {
				return err
			}
			name := strings.TrimSpace(strings.TrimPrefix(header, "commit "))
			found[name] = strings.ToValidUTF8(strings.TrimSuffix(subject, "\n"), "\ufffd")
		}
	})
	return found, err
}

// errStopped ends a walk whose caller stopped the iteration.
var errStopped = errors.New("gitlinker: the walk was stopped")

// Walk implements [dora.Commits]. It runs git once.
func (l *Linker) Walk(ctx context.Context, r dora.Repository, heads, bases []dora.CommitID) iter.Seq2[dora.Commit, error] {
	return func(yield func(dora.Commit, error) bool) {
		err := l.history(ctx, r, heads, bases, func(c dora.Commit) bool { return yield(c, nil) })
		if err != nil && !errors.Is(err, errStopped) {
			yield(dora.Commit{}, err)
		}
	}
}

func (l *Linker) history(ctx context.Context, r dora.Repository, heads, bases []dora.CommitID, f func(dora.Commit) bool) error {
	if l == nil || l.lookup == nil {
		return fmt.Errorf("%w: the Linker was not made with New; check the error of New", ErrConfig)
	}
	ctx, done, err := l.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	repo, err := l.openFor(ctx, r)
	if err != nil {
		return err
	}
	repo.maxOutput = maxHistory
	var input strings.Builder
	for _, id := range heads {
		input.WriteString(id.String() + "\n")
	}
	for _, id := range bases {
		input.WriteString("^" + id.String() + "\n")
	}
	if len(heads) == 0 {
		return nil
	}
	args := []string{"rev-list", "--parents", "--format=%at %ct", "--stdin"}
	return repo.run(ctx, input.String(), args, func(out io.Reader) error { return readHistory(out, f) })
}

// readHistory reads pairs of lines, "commit <name> <parents>" and "<author's
// time> <committer's time>".
func readHistory(out io.Reader, f func(dora.Commit) bool) error {
	in := bufio.NewReaderSize(out, 64<<10)
	var parents []dora.CommitID
	for {
		line, err := in.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		fields := bytes.Fields(line)
		if len(fields) < 2 || string(fields[0]) != "commit" {
			return fmt.Errorf("%w: git rev-list wrote %.100q", ErrRepository, line)
		}
		var c dora.Commit
		parents = parents[:0]
		for i, name := range fields[1:] {
			id, ok := dora.ParseCommitID(string(name))
			switch {
			case !ok:
				return fmt.Errorf("%w: git rev-list wrote %.100q", ErrRepository, line)
			case i == 0:
				c.ID = id
			default:
				parents = append(parents, id)
			}
		}
		c.Parents = parents
		if line, err = in.ReadSlice('\n'); err != nil {
			return err
		}
		author, committer, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		authored, authorErr := strconv.ParseInt(author, 10, 64)
		committed, committerErr := strconv.ParseInt(committer, 10, 64)
		if err := errors.Join(authorErr, committerErr); err != nil {
			return fmt.Errorf("%w: git rev-list wrote %.100q", ErrRepository, line)
		}
		c.Authored, c.Committed = time.Unix(authored, 0), time.Unix(committed, 0)
		if !f(c) {
			return errStopped
		}
	}
}
