package linearize

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

// ledger tests the ledgers of package deployments.
var ledger = subject{
	name: "ledger",
	open: func(ctx context.Context, t task) (func(client) caller, func() error, error) {
		l, closeLedger, err := openLedger(ctx, t)
		return func(c client) caller { return (&reporter{c, l}).call }, closeLedger, err
	},
	operations: operations[ledgerInput, ledgerOutput],
	model:      func(task) porcupine.Model { return ledgerModel() },
}

// A history is about several organizations, each with a few deployments of one
// service. Deployment number n starts n hours after the others.
const (
	organizations   = 3
	deploymentCount = 4
)

// The reports about a deployment, in the order in which a later one replaces an
// earlier one.
const (
	notReported = iota
	running
	failed    // after 5 minutes
	succeeded // after 10 minutes, in a second run of the pipeline
	cancelled // after 15 minutes, in a third run
	reportCount
)

var statuses = [reportCount]payload.Status{
	"", payload.StatusInProgress, payload.StatusFailure, payload.StatusSuccess, payload.StatusCancelled,
}

// ledgerInput is a call of a ledger.
type ledgerInput struct {
	Method       string `json:"method"` // record, get or list
	Organization string `json:"organization"`
	Deployment   int    `json:"deployment,omitempty"`
	Report       int    `json:"report,omitempty"` // of record
}

const (
	record = "Record"
	get    = "Get"
	list   = "List"
)

// ledgerOutput is the result of a call. The zero ledgerOutput is an unknown
// one.
type ledgerOutput struct {
	Known   bool                       `json:"known"`
	Created bool                       `json:"created,omitempty"` // of record
	Stale   bool                       `json:"stale,omitempty"`   // of record
	Rows    [deploymentCount]ledgerRow `json:"rows"`              // that the call returned
	Wrong   string                     `json:"wrong,omitempty"`   // an error or a record that no call may return
}

// ledgerRow is what a history shows of a record. The zero ledgerRow is none.
type ledgerRow struct {
	ID     int64 `json:"id,omitempty"`
	Report int   `json:"report,omitempty"` // the latest
	// Previous is one more than the deployment that was live before.
	Previous int `json:"previous,omitempty"`
}

// ledgerState is the state of one organization.
type ledgerState [deploymentCount]ledgerRow

func ledgerModel() porcupine.Model {
	return porcupine.Model{
		Partition: split(func(in ledgerInput) string { return in.Organization }),
		Init:      func() any { return ledgerState{} },
		Step: func(state, input, output any) (bool, any) {
			return stepLedger(state.(ledgerState), input.(timed[ledgerInput]).in, output.(ledgerOutput))
		},
		DescribeOperation: func(input, output any) string {
			return fmt.Sprintf("%+v: %+v", input.(timed[ledgerInput]).in, output)
		},
	}
}

// stepLedger returns the state after the call, and whether the call could
// return this output. A record has the latest report. The IDs have no gaps. The
// previous commit is that of the last success before, whatever the order of the
// reports.
func stepLedger(s ledgerState, in ledgerInput, out ledgerOutput) (bool, ledgerState) {
	want := ledgerOutput{Known: true}
	switch in.Method {
	case record:
		row := &s[in.Deployment]
		want.Created = row.ID == 0
		want.Stale = in.Report < row.Report
		if want.Created {
			row.ID = s.next()
		}
		row.Report = max(row.Report, in.Report)
		s.fillPrevious()
		want.Rows[in.Deployment] = *row
	case get:
		want.Rows[in.Deployment] = s[in.Deployment]
	case list:
		want.Rows = s
	}
	return !out.Known || out == want, s
}

func (s *ledgerState) next() int64 {
	var count int64
	for _, row := range s {
		if row.ID > 0 {
			count++
		}
	}
	return count + 1
}

func (s *ledgerState) fillPrevious() {
	previous := 0
	for i := range s {
		if s[i].ID > 0 {
			s[i].Previous = previous
		}
		if s[i].Report == succeeded {
			previous = i + 1
		}
	}
}

// recordKeeper is a ledger that can also be read.
type recordKeeper interface {
	deployments.Ledger
	Get(ctx context.Context, organization, deploymentID string) (*deployments.Record, error)
	List(ctx context.Context, organization string, f deployments.Filter, p deployments.Page) (deployments.Records, error)
}

func openLedger(ctx context.Context, t task) (recordKeeper, func() error, error) {
	switch t.Store {
	case "memory":
		l, err := deployments.NewMemoryLedger()
		return l, l.Close, err
	case "sqlite":
		l, err := sqlledger.OpenSQLite(ctx, t.Address)
		return l, l.Close, err
	case "postgres":
		db, err := sql.Open("pgx", t.Address)
		if err != nil {
			return nil, nil, err
		}
		db.SetMaxOpenConns(connections)
		l, err := sqlledger.NewPostgres(ctx, db)
		return l, func() error { return errors.Join(l.Close(), db.Close()) }, err
	}
	return nil, nil, fmt.Errorf("no ledger is named %q", t.Store)
}

// reporter is a client of a ledger.
type reporter struct {
	client
	ledger recordKeeper
}

func (c *reporter) call(ctx context.Context) fate {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	in := ledgerInput{
		Organization: fmt.Sprintf("%s-%d", c.Name, c.random.IntN(organizations)),
		Deployment:   c.random.IntN(deploymentCount),
	}
	switch n := c.random.IntN(10); {
	case n < 6:
		in.Method, in.Report = record, running+c.random.IntN(reportCount-running)
	case n < 8:
		in.Method = get
	default:
		in.Method, in.Deployment = list, 0
	}
	return c.journal.call(c.number, in, func() (any, fate) {
		out, err := c.make(ctx, in)
		if err == nil {
			return out, answered
		}
		for _, never := range []error{deployments.ErrClosed, deployments.ErrConfig, deployments.ErrInvalid, deployments.ErrLedgerFull} {
			if errors.Is(err, never) {
				return ledgerOutput{Known: true, Wrong: err.Error()}, answered
			}
		}
		if in.Method != record {
			return nil, refused // reading has no effect
		}
		return nil, fateOf(err)
	})
}

func (c *reporter) make(ctx context.Context, in ledgerInput) (ledgerOutput, error) {
	out := ledgerOutput{Known: true}
	var records []deployments.Record
	switch in.Method {
	case record:
		r, err := c.ledger.Record(ctx, in.Organization, report(in.Deployment, in.Report))
		if err != nil {
			return out, err
		}
		out.Created, out.Stale, records = r.Created, r.Stale, []deployments.Record{r.Record}
	case get:
		r, err := c.ledger.Get(ctx, in.Organization, deploymentID(in.Deployment))
		if errors.Is(err, deployments.ErrNotRecorded) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		records = []deployments.Record{*r}
	case list:
		page, err := c.ledger.List(ctx, in.Organization, deployments.Filter{}, deployments.Page{})
		if err != nil {
			return out, err
		}
		records = page.Items
	}
	for _, r := range records {
		out.add(&r)
	}
	return out, nil
}

// add adds a record to the rows. A record that no report can lead to is wrong.
func (o *ledgerOutput) add(r *deployments.Record) {
	for n := range deploymentCount {
		for kind := running; kind < reportCount; kind++ {
			want, got := report(n, kind), *r.Deployment
			if got.DeploymentID != want.DeploymentID || got.Status != want.Status {
				continue
			}
			previous := 0
			for i := range deploymentCount {
				if got.PreviousCommitSHA == commit(i) {
					previous = i + 1
				}
			}
			want.PreviousCommitSHA = got.PreviousCommitSHA
			if (previous > 0 || got.PreviousCommitSHA == "") && got.Equal(want) && o.Rows[n] == (ledgerRow{}) {
				o.Rows[n] = ledgerRow{r.ID, kind, previous}
				return
			}
		}
	}
	o.Wrong = fmt.Sprintf("%+v", *r.Deployment)
}

func deploymentID(n int) string { return fmt.Sprintf("deployment-%d", n) }

func commit(n int) string { return strings.Repeat(fmt.Sprint(n), 40) }

// report returns a report about a deployment.
func report(n, kind int) *payload.Deployment {
	start := time.Date(2026, 1, 1, n, 0, 0, 0, time.UTC)
	d := &payload.Deployment{
		DeploymentID: deploymentID(n), CommitSHA: commit(n), Service: "api", Environment: "production",
		Status: statuses[kind], StartedAt: start,
	}
	if kind > running {
		d.CompletedAt = start.Add(time.Duration(kind-running) * 5 * time.Minute)
	}
	return d
}
