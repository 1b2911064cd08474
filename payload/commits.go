package payload

import (
	"fmt"
	"regexp"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxCommits is the maximum number of commits in one deployment.
const maxCommits = 100

// RepositoryCommit is a commit that a deployment took from one of its
// repositories. Only Extra may be empty.
type RepositoryCommit struct {
	// RepositoryURL is the address of the repository. Encoding and decoding
	// clean it with [CleanURL]. JSON name "repositoryUrl". Required.
	RepositoryURL string
	// CommitSHA is the commit in 5 to 40 hexadecimal digits. JSON name
	// "commitSha". Required.
	CommitSHA string
	// Extra holds the members that have no field above, exactly as they were
	// written.
	Extra Object
}

func (c *RepositoryCommit) read(r *reader) {
	var extra objectBuilder
	for r.next() {
		switch r.name() {
		case "repositoryUrl":
			c.RepositoryURL = r.string()
			if clean, ok := CleanURL(c.RepositoryURL); ok {
				c.RepositoryURL = clean
			}
		case "commitSha":
			c.CommitSHA = r.string()
		default:
			r.unknown(&extra)
		}
	}
	c.Extra = extra.object()
}

// element returns the path of one element of commits.
func element(i int) string { return fmt.Sprintf("commits[%d]", i) }

func checkCommits(commits []RepositoryCommit, f *failures) {
	if len(commits) > maxCommits {
		f.add("commits", tooManyCommits)
		return
	}
	for i, c := range commits {
		at := element(i)
		f.require(at+".repositoryUrl", c.RepositoryURL)
		f.url(at+".repositoryUrl", c.RepositoryURL)
		f.require(at+".commitSha", c.CommitSHA)
		if !isHex(c.CommitSHA, maxCommit) {
			f.add(at+".commitSha", hexMessage)
		}
		f.extra(at, c.Extra, func(name string) bool { return name == "repositoryUrl" || name == "commitSha" })
	}
}

// commits reads an array of objects.
func (r *reader) commits() []RepositoryCommit {
	value := r.value()
	if r.err != nil || value == null {
		return nil
	}
	var elements []jsontext.Value
	if value[0] != '[' || json.Unmarshal([]byte(value), &elements) != nil {
		r.wrongKind("an array", value)
		return nil
	}
	if len(elements) > maxCommits {
		r.failures.add(r.path(), tooManyCommits)
		return nil
	}
	var commits []RepositoryCommit
	for i, text := range elements {
		if deeperThan(string(text), maxMemberDepth) {
			r.failures.add(element(i), tooDeep)
			continue
		}
		if c, ok := r.commit(i, text); ok {
			commits = append(commits, c)
		}
	}
	return commits
}

// commit reads an element of the array. It returns false for anything but an
// object.
func (r *reader) commit(i int, text []byte) (c RepositoryCommit, ok bool) {
	inner := newReader(text)
	defer inner.free()
	if err := inner.decode(text, &c); err != nil {
		r.failures.add(element(i), "must be an object")
		return c, false
	}
	for _, failure := range inner.failures.list {
		at := element(i)
		if failure.Path != "" {
			at += "." + failure.Path
		}
		r.failures.add(at, failure.Message)
	}
	return c, true
}

// commits writes a member unless it is empty.
func (w *writer) commits(name string, commits []RepositoryCommit) {
	if len(commits) == 0 {
		return
	}
	w.name(name)
	w.out = append(w.out, '[')
	for i := range commits {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.begin()
		w.link("repositoryUrl", commits[i].RepositoryURL)
		w.string("commitSha", commits[i].CommitSHA)
		w.end(commits[i].Extra)
	}
	w.out = append(w.out, ']')
}

// digest matches an OCI digest.
var digest = regexp.MustCompile(`^[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$`)

// isDigest reports whether s has the algorithm:encoded format of OCI digests.
func isDigest(s string) bool { return len(s) <= maxID && digest.MatchString(s) }
