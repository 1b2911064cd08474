package ci

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deployhook/deployhook/payload"
)

// Detect finds out which CI system runs the program and what its variables say
// about the run. An unknown system or an empty field is not an error. See
// [Run.System], [Run.Missing] and [Run.Problems] for those. Detect returns an
// error if env has no Getenv or if ctx ended.
//
// The order of the table matters, because some systems also set the variables
// of others. Forgejo sets Gitea's and GitHub's variables, Woodpecker sets
// GitLab's, and Harness sets Drone's. The first system whose variables are set
// to any non-empty value wins.
//
// Detect asks git for the checked-out commit if the system does not tell it and
// the run is not for a pull request. Without a known system, it also asks git
// for branch and repository. Metadata then has commit_from "git".
func Detect(ctx context.Context, env Environment) (*Run, error) {
	if env.Getenv == nil {
		return nil, errors.New("ci: Environment.Getenv is nil; set it to os.Getenv")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("ci: detect: %w", err)
	}
	s := scan{env: env, run: new(Run)}
	if s.row = s.find(); s.row != nil {
		s.fill()
	}
	if err := s.askGit(ctx); err != nil {
		return nil, fmt.Errorf("ci: detect: %w", err)
	}
	s.finish()
	return s.run, nil
}

// scan is the state of one call of Detect.
type scan struct {
	env Environment
	run *Run
	row *system

	file         map[string]string // the values of @path
	fileVariable string            // the variable that points to the file
	fileProblem  error             // why the file could not be used

	// other is true if the system's variables describe a commit other than the
	// deployed one, such as a pull request's merge commit.
	other bool
	kept  []string // names and values for Metadata, alternating
}

// find returns the row of the first detected system.
func (s *scan) find() *system {
	if row := s.first(systems[:]); row != nil {
		return row
	}
	return s.first(platforms[:])
}

// first returns the first row that detects its system.
func (s *scan) first(rows []system) *system {
	for i := range rows {
		if found, _ := s.eval(rows[i].detect); found != "" {
			return &rows[i]
		}
	}
	return nil
}

// fill evaluates the columns. The order matters, because the commit and the
// branch depend on the pull request, and the branch also depends on the tag.
func (s *scan) fill() {
	r, row := s.run, s.row
	r.System, r.Name, r.Platform = row.id, row.name, row.platform
	if row.read != nil {
		s.fileProblem = row.read(s)
	}
	s.pullRequest()
	s.commit()
	s.tag()
	s.branch()
	r.PreviousCommitSHA = s.hash("previousCommitSha", row.deployed)
	r.TriggeredBy = personName(s.line("triggeredBy", row.actor))
	r.PipelineName = s.line("pipelineName", row.pipeline)
	if row.pipelineName != nil {
		r.PipelineName = row.pipelineName(s, r.PipelineName)
	}
	r.PipelineURL = s.link("pipelineUrl", row.url)
	r.AppURL = s.link("url", row.app)
	s.service()
	r.Environment = s.line("environment", row.environment)
	s.status()
	s.started()
	r.Attempt = attempt(s.line("deploymentId", row.attempt))
	r.Job = s.line("deploymentId", row.job)
	s.describeCommit()
	s.unusedFile()
}

// pullRequest determines whether the run builds a pull request. Any value
// except "false" and 0 means yes. The digits at the end of the value are the
// number.
func (s *scan) pullRequest() {
	value, _ := s.eval(s.row.pr)
	if value == "" || strings.EqualFold(value, "false") || isZeros(value) {
		return
	}
	s.run.IsPullRequest = true
	digits := value[len(strings.TrimRight(value, "0123456789")):]
	if number, err := strconv.ParseInt(digits, 10, 32); err == nil {
		s.run.PullRequest = int(number)
	}
}

// commit determines the commit. In a pull request it uses the column headCommit
// if the row has one, because the column commit is then the merge commit or a
// commit of the target branch.
func (s *scan) commit() {
	if !s.run.IsPullRequest || s.row.headCommit == "" {
		s.run.CommitSHA = s.hash("commitSha", s.row.commit)
		return
	}
	s.run.CommitSHA = s.hash("commitSha", s.row.headCommit)
	other, from := s.eval(s.row.commit)
	if other = strings.ToLower(other); !isCommit(other) || other == s.run.CommitSHA {
		return
	}
	s.other = true
	name, what := "merge_commit", "is the merge commit of the pull request, not its head; set the commit"
	if given, _ := s.eval(s.row.otherCommit); given != "" {
		name, what = given, "is a commit of the target branch, not the head of the pull request; set the commit"
	}
	s.keep(name, other)
	if s.run.CommitSHA == "" && s.fileProblem == nil {
		s.problem("commitSha", from, what)
	}
}

// describeCommit determines the message and author of the commit. In a pull
// request the system's variables may describe its merge commit instead, so
// their values are not used.
func (s *scan) describeCommit() {
	if s.other {
		return
	}
	s.run.CommitAuthor = personName(s.line("commitSha", s.row.author))
	message, _ := s.eval(s.row.message)
	s.run.CommitMessage = text(message)
}

// tag determines the tag.
func (s *scan) tag() {
	raw, from := s.eval(s.row.tag)
	name := strings.TrimPrefix(s.clean("branch", raw, from), "refs/tags/")
	if strings.HasPrefix(name, "refs/") {
		s.problem("branch", from, "does not name a tag; set the version")
		return
	}
	s.run.Tag = name
}

// hash evaluates a column that holds a commit.
func (s *scan) hash(field, expr string) string {
	raw, from := s.eval(expr)
	sha := strings.ToLower(raw)
	switch {
	case raw == "":
		return ""
	case isCommit(sha):
		return sha
	case isZeros(raw):
		s.problem(field, from, "is all zeros, which stands for no commit; set the commit")
	case raw == "HEAD":
		s.problem(field, from, "is HEAD, which is not a commit hash; set the output of git rev-parse HEAD")
	default:
		s.problem(field, from, "is not a commit (7 to 40 or 64 hexadecimal digits); set the commit")
	}
	if kept, reason := line(raw); reason == "" && field == "commitSha" {
		s.keep("commit_raw", kept)
	} else if reason == "" {
		s.keep("previous_commit_raw", kept)
	}
	return ""
}

// branch determines the branch. In a pull request it uses the column headBranch
// if the row has one, because the column branch is then the target branch.
func (s *scan) branch() {
	expr := s.row.branch
	if s.run.IsPullRequest && s.row.headBranch != "" {
		expr = s.row.headBranch
	}
	raw, from := s.eval(expr)
	name := strings.TrimPrefix(s.clean("branch", raw, from), "refs/heads/")
	switch {
	case name == "" || name == s.run.Tag || strings.HasPrefix(name, "refs/tags/"):
	case name == "HEAD" || strings.HasPrefix(name, "refs/"):
		s.problem("branch", from, "does not name a branch; set the branch")
	case isPullName(name):
		s.problem("branch", from, "names a pull request, not a branch; set the branch")
	default:
		s.run.Branch = name
	}
}

// isPullName reports whether name is "pull/12", "pull/12/merge" or "12/merge".
// Some systems write such a name instead of the source branch.
func isPullName(name string) bool {
	number, pull := strings.CutPrefix(name, "pull/")
	number, end, ended := strings.Cut(number, "/")
	return number != "" && strings.Trim(number, "0123456789") == "" &&
		(pull && !ended || end == "merge" || pull && end == "head")
}

// service sets the repository, and the service to the repository's name.
// Receivers match the two.
func (s *scan) service() {
	raw, from := s.eval(s.row.repo)
	s.run.Repository = s.clean("service", repositoryPath(raw), from)
	if s.run.Service = lastSegment(s.run.Repository); s.run.Service == "" {
		s.run.Service = s.line("service", s.row.service)
	}
}

// status determines the status of the run. GitLab jobs with the action stop,
// prepare, verify or access name an environment but do not deploy to it. Their
// outcome is not the outcome of a deployment.
func (s *scan) status() {
	action, from := s.eval(s.row.action)
	if s.run.Action = s.clean("environment", action, from); s.run.Action != "" && s.run.Action != "start" {
		s.problem("status", from, "says that this job does not deploy (its environment:action is not start, "+
			"so it stops, prepares, verifies or only accesses the environment); notify from the job that deploys, or set the status")
		return
	}
	raw, from := s.eval(s.row.status)
	if raw == "" {
		return
	}
	status, ok := ParseStatus(raw)
	if !ok {
		s.problem("status", from, "is not a known status; set the status")
	}
	s.run.Status = status
}

// started determines the start from seconds or milliseconds since 1970, or from
// a date that payload.ParseTime reads.
func (s *scan) started() {
	raw, from := s.eval(s.row.started)
	if raw == "" || isZeros(raw) {
		return
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	switch {
	case err == nil && len(raw) == 10:
		s.run.StartedAt = time.Unix(n, 0).UTC()
		return
	case err == nil && len(raw) == 13:
		s.run.StartedAt = time.UnixMilli(n).UTC()
		return
	}
	if s.run.StartedAt, err = payload.ParseTime(raw); err != nil {
		s.problem("startedAt", from, "is not a date in a known format; set the start")
	}
}

// unusedFile reports a file that could not be used as a problem of the field
// that needed it.
func (s *scan) unusedFile() {
	switch {
	case s.fileProblem == nil:
	case s.run.CommitSHA == "":
		s.problem("commitSha", s.fileVariable, "points to a file that "+s.fileProblem.Error()+"; set the commit")
	case s.fileProblem != errNoFiles:
		s.problem("metadata", s.fileVariable, "points to a file that "+s.fileProblem.Error()+"; check its content")
	}
}

// attempt returns an attempt number that counts from 1. The column's value has
// a form such as "2", "0+1" or "1.2".
func attempt(s string) string {
	if n, ok := strings.CutSuffix(s, "+1"); ok {
		count, err := strconv.ParseUint(n, 10, 31)
		if err != nil {
			return ""
		}
		return strconv.FormatUint(count+1, 10)
	}
	if strings.Trim(s, "0123456789.") != "" {
		return ""
	}
	return s
}

// line evaluates a column that holds a name.
func (s *scan) line(field, expr string) string {
	raw, from := s.eval(expr)
	return s.clean(field, raw, from)
}

func (s *scan) clean(field, raw, from string) string {
	clean, reason := line(raw)
	if reason != "" {
		s.problem(field, from, reason+"; set the value another way")
	}
	return clean
}

// link evaluates a column that holds a URL.
func (s *scan) link(field, expr string) string {
	raw, from := s.evalURL(expr)
	if raw == "" {
		return ""
	}
	url, reason := link(raw)
	if reason != "" {
		s.problem(field, from, reason+"; set it to a plain link, or set the link")
	}
	return url
}

func (s *scan) problem(field, variable, reason string) {
	s.run.Problems = append(s.run.Problems, Problem{field, variable, reason})
}

// solved removes the problems of a field that got its value from another
// source.
func (s *scan) solved(field string) {
	s.run.Problems = slices.DeleteFunc(s.run.Problems, func(p Problem) bool { return p.Field == field })
}

// keep records a clean value for Metadata.
func (s *scan) keep(name, value string) {
	if value != "" {
		s.kept = append(s.kept, name, value)
	}
}

// finish sets the fields that depend on all others.
func (s *scan) finish() {
	r := s.run
	if s.row != nil {
		r.run = s.line("deploymentId", s.row.run)
		r.detectedService = r.Service
		r.detected = r.id()
		r.DeploymentID = r.detected
		s.sharedID()
	}
	s.metadata()
	r.Missing = missing(r)
}

// sharedID warns if the legs of a matrix would have the same ID and so
// overwrite one record.
func (s *scan) sharedID() {
	part, from := s.eval(s.row.shared)
	if part != "" && (part == s.run.Job || part == s.run.run) {
		s.problem("deploymentId", from, "is the same in all legs of a matrix; if this job has several legs, set a service or "+
			"a deployment ID in every step that reports one")
	}
}

// metadata writes the kept values. Building the document once takes a tenth of
// the time of repeated Metadata.Set calls.
func (s *scan) metadata() {
	r := s.run
	kept := append([]string{
		"ci_system", r.System, "repository", r.Repository, "tag", r.Tag, "attempt", r.Attempt,
		"job", r.Job,
	}, s.kept...)
	if r.PullRequest > 0 {
		kept = append(kept, "pull_request", strconv.Itoa(r.PullRequest))
	}
	if s.row != nil {
		for column := range strings.SplitSeq(s.row.keep, "; ") {
			name, expr, _ := strings.Cut(column, " = ")
			raw, _ := s.eval(expr)
			if value, reason := line(raw); reason == "" && !isZeros(value) {
				kept = append(kept, name, value)
			}
		}
	}
	document := []byte{'{'}
	for i := 0; i < len(kept); i += 2 {
		if kept[i+1] == "" {
			continue
		}
		if len(document) > 1 {
			document = append(document, ',')
		}
		// All of it is valid UTF-8, so quoting it can't fail.
		document, _ = jsontext.AppendQuote(document, kept[i])
		document = append(document, ':')
		document, _ = jsontext.AppendQuote(document, kept[i+1])
	}
	if len(document) > 1 {
		// AppendQuote's output for valid UTF-8, under unique names, is always
		// valid metadata.
		r.Metadata, _ = payload.ParseMetadata(append(document, '}'))
	}
}
