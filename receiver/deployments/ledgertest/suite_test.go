package ledgertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"iter"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/ledgertest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// newMyLedger stands for your ledger in the package comment's code.
func newMyLedger(testing.TB) ledgertest.Ledger { return newSimple("") }

func TestLedger(t *testing.T) {
	ledgertest.Run(t, ledgertest.Config{
		New: func(t testing.TB) ledgertest.Ledger { return newMyLedger(t) },
	})
}

var bugFlag = flag.String("ledger.bug", "", "run the suite against a ledger with this bug; it must fail")

// bugs maps each way to break the contract to a check that finds it.
var bugs = map[string]string{
	"no lock":                      "one_of_many_copies_creates_the_record",
	"organizations share":          "organizations_do_not_see_each_other",
	"numbers are global":           "organizations_do_not_see_each_other",
	"scope is ignored":             "previous_commit_is_of_the_same_service_and_environment",
	"failures count":               "previous_commit_is_that_of_the_last_success",
	"arrival decides":              "a_late_deployment_corrects_the_previous_commit_of_the_next",
	"next is not corrected":        "a_late_deployment_corrects_the_previous_commit_of_the_next",
	"only successes are corrected": "a_late_success_corrects_unsuccessful_deployments",
	"rollback applies to the past": "a_late_rollback_changes_only_later_deployments",
	"rollback is ignored":          "a_late_rollback_changes_only_later_deployments",
	"newest outcome overwrites":    "stale_status_never_overwrites_a_newer_one",
	"json is re-encoded":           "everything_is_kept_to_the_byte",
	"late number is stored":        "number_for_changed_commits_is_not_stored",
	"unknown number is accepted":   "number_for_an_unrecorded_deployment_is_an_error",
	"number is lost":               "number_of_pull_requests_is_kept",
	"context is ignored":           "ended_context_is_an_error_and_changes_nothing",
	"list is ascending":            "list_pages",
	"filter is ignored":            "list_filters",
	"keeps the given deployment":   "new_deployment_creates_a_record",
	"repositories are forgotten":   "each_repository_has_a_previous_commit_of_its_own",
	"stale reports are lost":       "a_stale_delivery_adds_members_that_no_other_one_has",
	"window is closed":             "runs_are_in_order_and_within_the_window",
	"runs are as they arrived":     "runs_are_in_order_and_within_the_window",
	"timeline is as they arrived":  "the_timeline_is_in_the_order_of_positions,_page_by_page",
	"live is the last success":     "what_was_live_at_a_time",
	"last incident wins":           "every_order_of_an_incident's_deliveries_gives_the_same_incident",
	"incidents are shared":         "other_organizations_do_not_see_incidents",
}

func TestBuggyLedger(t *testing.T) {
	if *bugFlag == "" {
		t.Skip("run by TestSuiteFindsBugs")
	}
	ledgertest.Run(t, ledgertest.Config{New: func(testing.TB) ledgertest.Ledger { return newSimple(*bugFlag) }, Copies: 60})
}

// The check that finds a bug runs in its own process, because it must fail.
func TestSuiteFindsBugs(t *testing.T) {
	t.Parallel()
	for bug, check := range bugs {
		t.Run(bug, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestBuggyLedger$/^"+regexp.QuoteMeta(check)+"$", "-ledger.bug="+bug).CombinedOutput()
			require.Error(t, err, "the suite passes")
			require.Contains(t, string(out), "--- FAIL: TestBuggyLedger/"+check)
		})
	}
}

// simple is a minimal ledger with Apply.
type simple struct {
	bug  string
	mu   sync.Mutex
	rows []*simpleRow

	incidents []simpleIncident
}

type simpleIncident struct {
	organization string
	record       deployments.IncidentRecord
}

type simpleRow struct {
	organization string
	record       deployments.Record
}

func newSimple(bug string) *simple { return &simple{bug: bug} }

func (l *simple) lock() func() {
	l.mu.Lock()
	if l.bug == "no lock" { // not atomic, but without a data race
		l.mu.Unlock()
		time.Sleep(time.Millisecond) // widens the gap of the bug
		l.mu.Lock()
	}
	return l.mu.Unlock
}

func (l *simple) check(ctx context.Context, organization string) error {
	if organization == "" {
		return deployments.ErrNoOrganization
	}
	if l.bug == "context is ignored" {
		return nil
	}
	return ctx.Err()
}

func (l *simple) same(a, b string) bool { return a == b || l.bug == "organizations share" }

func (l *simple) Record(ctx context.Context, organization string, d *payload.Deployment) (deployments.Recorded, error) {
	if err := l.check(ctx, organization); err != nil {
		return deployments.Recorded{}, err
	}
	defer l.lock()()
	tx := &simpleTx{l: l, organization: organization}
	if l.bug == "newest outcome overwrites" {
		if old, _ := tx.Find(ctx, d.DeploymentID); old != nil {
			old.Deployment = d
			return deployments.Recorded{Record: *old}, tx.Update(ctx, old)
		}
	}
	r, err := deployments.Apply(ctx, tx, d)
	if l.bug == "keeps the given deployment" {
		d.Branch = "changed"
	}
	return r, err
}

func (l *simple) SetLinked(ctx context.Context, link deployments.Link, prs int) error {
	if err := l.check(ctx, link.Organization); err != nil {
		return err
	}
	defer l.lock()()
	tx := &simpleTx{l: l, organization: link.Organization}
	r, err := tx.Find(ctx, link.DeploymentID)
	switch {
	case err != nil:
		return err
	case r == nil && l.bug == "unknown number is accepted":
		return nil
	case r == nil:
		return deployments.ErrNotRecorded
	case !r.Link(link.Organization).Equal(link) && l.bug != "late number is stored", l.bug == "number is lost":
		return nil
	}
	r.Linked, r.LinkedPRs = true, prs
	return tx.Update(ctx, r)
}

func (l *simple) Get(ctx context.Context, organization, deploymentID string) (*deployments.Record, error) {
	if err := l.check(ctx, organization); err != nil {
		return nil, err
	}
	defer l.lock()()
	r, err := (&simpleTx{l: l, organization: organization}).Find(ctx, deploymentID)
	if err == nil && r == nil {
		return nil, deployments.ErrNotRecorded
	}
	return r, err
}

func (l *simple) List(ctx context.Context, organization string, f deployments.Filter, p deployments.Page) (deployments.Records, error) {
	_, before, err := p.Bounds()
	if err := errors.Join(err, f.Validate(), l.check(ctx, organization)); err != nil {
		return deployments.Records{}, err
	}
	defer l.lock()()
	var page []deployments.Record
	for _, row := range l.rows {
		if l.same(row.organization, organization) && row.record.ID < before && (l.bug == "filter is ignored" || matches(&row.record, f)) {
			page = append(page, *copied(&row.record))
		}
	}
	if l.bug != "list is ascending" {
		slices.Reverse(page)
	}
	return p.Records(page)
}

func matches(r *deployments.Record, f deployments.Filter) bool {
	d := r.Deployment
	return (f.Service == "" || d.Service == f.Service) &&
		(f.Environment == "" || d.Environment == f.Environment) && (f.Status == "" || d.Status == f.Status) &&
		!d.StartedAt.Before(f.Since) && (!f.Unlinked || d.Status == payload.StatusSuccess && !r.Linked)
}

func copied(r *deployments.Record) *deployments.Record {
	c, d := *r, *r.Deployment
	c.Deployment = &d
	return &c
}

func (l *simple) RecordIncident(ctx context.Context, organization string, i *payload.Incident) (deployments.RecordedIncident, error) {
	if err := l.check(ctx, organization); err != nil {
		return deployments.RecordedIncident{}, err
	}
	defer l.lock()()
	r, err := deployments.ApplyIncident(ctx, &simpleTx{l: l, organization: organization}, i)
	if l.bug == "last incident wins" && err == nil {
		*r.Incident = *i
	}
	return r, err
}

func (l *simple) sameOfIncidents(a, b string) bool { return a == b || l.bug == "incidents are shared" }

func (tx *simpleTx) FindIncident(_ context.Context, id string) (*deployments.IncidentRecord, error) {
	for _, k := range tx.l.incidents {
		if tx.l.sameOfIncidents(k.organization, tx.organization) && k.record.Incident.IncidentID == id {
			return &k.record, nil
		}
	}
	return nil, nil
}

func (tx *simpleTx) PutIncident(_ context.Context, r *deployments.IncidentRecord) error {
	tx.l.incidents = slices.DeleteFunc(tx.l.incidents, func(k simpleIncident) bool {
		return tx.l.sameOfIncidents(k.organization, tx.organization) && k.record.Incident.IncidentID == r.Incident.IncidentID
	})
	tx.l.incidents = append(tx.l.incidents, simpleIncident{tx.organization, *r})
	return nil
}

func (l *simple) Scopes(ctx context.Context, organization string) (all []deployments.Scope, err error) {
	if err := l.check(ctx, organization); err != nil {
		return nil, err
	}
	defer l.lock()()
	for _, row := range l.rows {
		if l.same(row.organization, organization) {
			all = append(all, row.record.Run().Scope)
		}
	}
	slices.SortFunc(all, deployments.CompareScopes)
	return slices.Compact(all), nil
}

func (l *simple) Runs(ctx context.Context, organization string, s deployments.Scope, from, to time.Time) iter.Seq2[deployments.Run, error] {
	return func(yield func(deployments.Run, error) bool) {
		if err := l.check(ctx, organization); err != nil {
			yield(deployments.Run{}, err)
			return
		}
		for _, run := range l.sortedRuns(organization, s) {
			at := run.At()
			late := !to.IsZero() && !at.Before(to)
			if l.bug == "window is closed" {
				late = !to.IsZero() && at.After(to)
			}
			if at.Before(from) || late {
				continue
			}
			if !yield(*run, nil) {
				return
			}
		}
	}
}

func (l *simple) sortedRuns(organization string, s deployments.Scope) (all []*deployments.Run) {
	defer l.lock()()
	for _, row := range l.rows {
		r := row.record
		if l.bug == "stale reports are lost" {
			r.Reports = nil
		}
		if run := r.Run(); l.same(row.organization, organization) && run.Scope == s {
			all = append(all, &run)
		}
	}
	if l.bug != "runs are as they arrived" {
		slices.SortFunc(all, deployments.CompareRuns)
	}
	return all
}

func (l *simple) Incidents(ctx context.Context, organization string) iter.Seq2[payload.Incident, error] {
	return func(yield func(payload.Incident, error) bool) {
		unlock := l.lock()
		var all []payload.Incident
		for _, k := range l.incidents {
			if l.sameOfIncidents(k.organization, organization) {
				all = append(all, *k.record.Incident)
			}
		}
		unlock()
		slices.SortFunc(all, func(a, b payload.Incident) int { return a.OpenedAt.Compare(b.OpenedAt) })
		for _, i := range all {
			if !yield(i, nil) {
				return
			}
		}
	}
}

type simpleTx struct {
	l            *simple
	organization string
}

func (tx *simpleTx) Find(_ context.Context, deploymentID string) (*deployments.Record, error) {
	found := tx.find(deploymentID)
	if tx.l.bug == "no lock" {
		tx.l.mu.Unlock()
		time.Sleep(time.Millisecond) // widens the gap of the bug
		tx.l.mu.Lock()
	}
	return found, nil
}

func (tx *simpleTx) find(deploymentID string) *deployments.Record {
	for _, row := range tx.l.rows {
		if tx.l.same(row.organization, tx.organization) && row.record.Deployment.DeploymentID == deploymentID {
			return copied(&row.record)
		}
	}
	return nil
}

func (tx *simpleTx) stored(r *deployments.Record) deployments.Record {
	c := copied(r)
	if tx.l.bug == "repositories are forgotten" {
		c.PreviousCommits = nil
	}
	if tx.l.bug == "json is re-encoded" {
		var raw any
		if json.Unmarshal([]byte(c.Deployment.RawPayload.JSON()), &raw) == nil {
			text, _ := json.Marshal(raw)
			c.Deployment.RawPayload, _ = payload.ParseObject(text)
		}
	}
	return *c
}

func (tx *simpleTx) Insert(_ context.Context, r *deployments.Record) error {
	r.ID = 1
	for _, row := range tx.l.rows {
		if tx.l.same(row.organization, tx.organization) || tx.l.bug == "numbers are global" {
			r.ID++
		}
	}
	tx.l.rows = append(tx.l.rows, &simpleRow{tx.organization, tx.stored(r)})
	return nil
}

func (tx *simpleTx) Update(_ context.Context, r *deployments.Record) error {
	for _, row := range tx.l.rows {
		if tx.l.same(row.organization, tx.organization) && row.record.ID == r.ID {
			row.record = tx.stored(r)
		}
	}
	return nil
}

// chain returns the other records of p's scope in order.
func (tx *simpleTx) chain(p deployments.Position) []*deployments.Record {
	var out []*deployments.Record
	for _, row := range tx.l.rows {
		at := row.record.Position()
		scoped := at.Service == p.Service && at.Environment == p.Environment || tx.l.bug == "scope is ignored"
		if tx.l.same(row.organization, tx.organization) && scoped && at.DeploymentID != p.DeploymentID {
			out = append(out, copied(&row.record))
		}
	}
	if tx.l.bug != "arrival decides" {
		slices.SortFunc(out, func(a, b *deployments.Record) int { return a.Position().Compare(b.Position()) })
	}
	return out
}

func (tx *simpleTx) live(r *deployments.Record, p deployments.Position) bool {
	switch tx.l.bug {
	case "failures count":
		return true
	case "rollback applies to the past":
		return r.Deployment.Status == payload.StatusSuccess
	case "rollback is ignored":
		return !r.SucceededAt.IsZero()
	}
	return r.LiveAt(p.At)
}

func (tx *simpleTx) Before(_ context.Context, p deployments.Position) (*deployments.Record, error) {
	for _, r := range slices.Backward(tx.chain(p)) {
		if tx.l.bug == "arrival decides" && r.Deployment.Status == payload.StatusSuccess || r.Position().Compare(p) < 0 && tx.live(r, p) {
			return r, nil
		}
	}
	return nil, nil
}

func (tx *simpleTx) Following(_ context.Context, p deployments.Position) ([]*deployments.Record, error) {
	if tx.l.bug == "next is not corrected" {
		return nil, nil
	}
	var following []*deployments.Record
	for _, r := range tx.chain(p) {
		if r.Position().Compare(p) < 0 {
			continue
		}
		success := r.Deployment.Status == payload.StatusSuccess
		if success || tx.l.bug != "only successes are corrected" {
			following = append(following, r)
		}
		if success {
			break
		}
	}
	return following, nil
}
