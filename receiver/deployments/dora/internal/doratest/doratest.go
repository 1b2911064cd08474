// Package doratest has commits in memory for the tests of package dora.
package doratest

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/deployhook/deployhook/receiver/deployments/dora"
)

// Commit is a commit of a repository that a test makes up.
type Commit struct {
	ID        string    `json:"id"`
	Parents   []string  `json:"parents"`
	Authored  time.Time `json:"authored"`
	Committed time.Time `json:"committed"`
	Subject   string    `json:"subject"`
}

// Commits are the commits of repositories by URL. They implement dora.Commits.
type Commits map[string][]Commit

// ID returns the commit with a name of 40 or 64 hex digits.
func ID(text string) dora.CommitID {
	id, ok := dora.ParseCommitID(text)
	if !ok {
		panic("doratest: no commit: " + text) // a mistake in a test
	}
	return id
}

// Resolve finds the commits that begin with the names.
func (c Commits) Resolve(_ context.Context, r dora.Repository, names []string) ([]dora.Resolved, error) {
	commits, ok := c[r.URL]
	if !ok {
		return nil, fmt.Errorf("%w: %q", dora.ErrNoHistory, r.URL)
	}
	found := make([]dora.Resolved, len(names))
	for i, name := range names {
		for _, k := range commits {
			if strings.HasPrefix(k.ID, name) {
				found[i] = dora.Resolved{ID: ID(k.ID), Known: true, Subject: k.Subject}
			}
		}
	}
	return found, nil
}

// Walk yields the commits that lead to heads and not to bases, in any order.
func (c Commits) Walk(_ context.Context, r dora.Repository, heads, bases []dora.CommitID) iter.Seq2[dora.Commit, error] {
	commits := make(map[dora.CommitID]Commit)
	for _, k := range c[r.URL] {
		commits[ID(k.ID)] = k
	}
	var reach func(from dora.CommitID, seen map[dora.CommitID]bool)
	reach = func(from dora.CommitID, seen map[dora.CommitID]bool) {
		if seen[from] {
			return
		}
		seen[from] = true
		for _, p := range commits[from].Parents {
			reach(ID(p), seen)
		}
	}
	excluded, included := make(map[dora.CommitID]bool), make(map[dora.CommitID]bool)
	for _, b := range bases {
		reach(b, excluded)
	}
	for _, h := range heads {
		reach(h, included)
	}
	return func(yield func(dora.Commit, error) bool) {
		for at := range included {
			if excluded[at] {
				continue
			}
			k := commits[at]
			one := dora.Commit{ID: at, Authored: k.Authored, Committed: k.Committed}
			for _, p := range k.Parents {
				one.Parents = append(one.Parents, ID(p))
			}
			if !yield(one, nil) {
				return
			}
		}
	}
}
