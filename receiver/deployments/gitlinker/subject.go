package gitlinker

import (
	"regexp"
	"strconv"
	"strings"
)

// number matches a pull request's number. It starts at 1, has no leading zeros,
// and fits into an int32.
const number = `([1-9][0-9]{0,8})`

// subjects match the forms in which a commit names its pull request. Each is
// anchored at both ends. Otherwise the subject of a revert would count, because
// it quotes another subject.
var subjects = []*regexp.Regexp{
	regexp.MustCompile(`^Merge pull request #` + number + ` (?:from|in) `),
	regexp.MustCompile(`^Merge pull request ` + number + ` from .+ into `),
	regexp.MustCompile(`^Merge pull request '.*' \([#!]` + number + `\) from `),
	regexp.MustCompile(`^Merged PR ` + number + `: `),
	regexp.MustCompile(`^.*\S \((?:pull request )?[#!]` + number + `\)$`),
}

// mergeRequest matches the last line of GitLab's merge commits.
var mergeRequest = regexp.MustCompile(`^See merge request [^\s!]*!` + number + `$`)

// pullRequest returns the number of the pull request that a commit merges, or
// 0.
func pullRequest(subject, body string) int {
	subject = strings.TrimSpace(subject)
	for _, s := range subjects {
		if m := s.FindStringSubmatch(subject); m != nil {
			return parse(m[1])
		}
	}
	if strings.HasPrefix(subject, "Revert ") { // its body may quote the reverted commit
		return 0
	}
	last := ""
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "See merge request ") {
			last = line
		}
	}
	if m := mergeRequest.FindStringSubmatch(last); m != nil {
		return parse(m[1])
	}
	return 0
}

func parse(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil { // never fails for at most nine digits
		return 0
	}
	return n
}
