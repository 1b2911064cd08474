package inbound

import (
	"regexp"
	"strings"
)

var (
	version = regexp.MustCompile(`^v?\d+\.\d+\.\d+([-+.].*)?$`)
	hexText = regexp.MustCompile(`^[0-9A-Fa-f]{7,64}$`)
)

// Branch returns the branch that a ref names, or "" if it names none, or may well not: systems that put a branch, a tag or
// a commit into one member do not say which it is. Full names are clear; a commit is known by the SHA next to it; a
// version of three numbers (v1.4.0) is taken for a tag.
func Branch(ref, sha string) string {
	if branch, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		return branch
	}
	switch {
	case strings.HasPrefix(ref, "refs/"), version.MatchString(ref):
		return ""
	case hexText.MatchString(ref) && (len(ref) >= 40 || strings.HasPrefix(strings.ToLower(sha), strings.ToLower(ref))):
		return ""
	}
	return ref
}

// LastSegment returns what follows the last slash of a link's path: the commit in a link to a commit.
func LastSegment(link string) string {
	link, _, _ = strings.Cut(link, "?")
	link, _, _ = strings.Cut(link, "#")
	link = strings.TrimRight(link, "/")
	return link[strings.LastIndexByte(link, '/')+1:]
}

// IsCommit reports whether s is the whole hash of a commit, SHA-1 or SHA-256.
func IsCommit(s string) bool { return (len(s) == 40 || len(s) == 64) && hexText.MatchString(s) }
