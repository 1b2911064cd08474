package dora

import (
	"context"
	"encoding/hex"
	"errors"
	"iter"
	"time"
)

// ErrNoHistory is wrapped by the errors of a [Commits] that can't read a
// repository at all: it is not known, or its history is cut off. Deployments of
// it then have no lead times, which is no error of [Compute].
var ErrNoHistory = errors.New("dora: the repository has no history to read")

// CommitID is the hash of a commit: all of a SHA-1 hash, the first 20 bytes of
// a SHA-256 one.
type CommitID [20]byte

// ParseCommitID reads hexadecimal digits. It ignores those after the fortieth,
// and fewer are filled up with zeros.
func ParseCommitID(text string) (id CommitID, ok bool) {
	if len(text) > 2*len(id) {
		text = text[:2*len(id)]
	}
	if len(text)%2 != 0 {
		text += "0"
	}
	_, err := hex.Decode(id[:], []byte(text))
	return id, err == nil && text != ""
}

// String is the hash in hexadecimal digits.
func (id CommitID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText is String for JSON.
func (id CommitID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// Repository names a repository of deployments.
type Repository struct {
	// Organization is that of the deployments. It is empty only if that of an
	// [Input] is.
	Organization string
	// Service is empty for deployments without a service.
	Service string
	// URL is empty where the deployments name no repository. It is then the
	// service's.
	URL string
	// Further is set for a repository that deployments name only besides their own.
	Further bool
}

// Commit is a commit in the history of a repository.
type Commit struct {
	// ID is the commit's hash. Required.
	ID CommitID
	// Parents is empty for the first commit of a history.
	Parents []CommitID
	// Authored is when the change was written. Required, because a lead time
	// begins with it.
	Authored time.Time
	// Committed is when the commit was made, for [WithCommitterTime]. Zero means
	// Authored.
	Committed time.Time
}

// Resolved is a commit that a deployment has named.
type Resolved struct {
	// ID is the commit's hash. It is zero unless Known is set.
	ID CommitID
	// Known is false for a commit that the repository does not have, and for an
	// abbreviation of several.
	Known bool
	// Subject is the first line of its message.
	Subject string
}

// Commits reads the history of repositories. Package gitlinker has one for
// local git repositories. It must be safe for concurrent use and return soon
// after its context has ended.
//
// The interface is frozen: it gets no further method. Further abilities become
// optional interfaces.
type Commits interface {
	// Resolve looks up commits, which are named by 5 to 40 hexadecimal digits in
	// lower case. The results have the order of the names.
	Resolve(ctx context.Context, r Repository, names []string) ([]Resolved, error)
	// Walk yields all commits that are reachable from heads and not from bases, in
	// any order and each once. It may yield more of those that are reachable from
	// heads. The caller keeps no Parents. An error ends it.
	Walk(ctx context.Context, r Repository, heads, bases []CommitID) iter.Seq2[Commit, error]
}
