package inbound

import (
	"regexp"
	"strings"
)

var (
	version = regexp.MustCompile(`^v?\d+\.\d+\.\d+([-+.].*)?$`)
	hexText = regexp.MustCompile(`^[0-9A-Fa-f]{7,64}$`)
)

// Branch returns the branch that a ref names, or "" if it certainly or possibly
// names something else. Some systems put a branch, a tag or a commit into one
// member without telling which. Full names are clear. A ref that equals sha is
// a commit. A version of three numbers, such as v1.4.0, counts as a tag.
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

// LastSegment returns the part of a link's path after the last slash. In a link
// to a commit it is the commit.
func LastSegment(link string) string {
	link, _, _ = strings.Cut(link, "?")
	link, _, _ = strings.Cut(link, "#")
	link = strings.TrimRight(link, "/")
	return link[strings.LastIndexByte(link, '/')+1:]
}

// IsCommit reports whether s is a full SHA-1 or SHA-256 commit hash.
func IsCommit(s string) bool { return (len(s) == 40 || len(s) == 64) && hexText.MatchString(s) }
