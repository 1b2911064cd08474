package ledgertest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// Ledger is the ledger under test. It can also be read. The interface grows
// with the suite.
type Ledger interface {
	deployments.Ledger
	deployments.History
	deployments.Timeline
	Get(ctx context.Context, organization, deploymentID string) (*deployments.Record, error)
	List(ctx context.Context, organization string, f deployments.Filter, p deployments.Page) (deployments.Records, error)
}

// Config configures [Run]. Only New is required.
type Config struct {
	// New returns a ledger with room for ten thousand records. It is called
	// once for each check and may always return the same ledger. Clean up with
	// t.Cleanup.
	New func(t testing.TB) Ledger

	// Other returns a second instance on the data of a ledger from New, as in
	// another process. If it is nil, the suite uses the ledger itself, which is
	// right for ledgers that are not shared.
	Other func(t testing.TB, l Ledger) Ledger

	// Copies is how many callers record one deployment at the same time, at
	// least 40. Zero means 1,000, or 100 with -short.
	Copies int
}

// withDefaults refuses so few copies that some checks would check nothing.
func (c Config) withDefaults(short bool) (Config, error) {
	if c.New == nil {
		return c, errors.New("ledgertest: Config.New is nil; pass a function that makes the ledger to test")
	}
	if c.Other == nil {
		c.Other = func(_ testing.TB, l Ledger) Ledger { return l }
	}
	switch {
	case c.Copies == 0 && short:
		c.Copies = 100
	case c.Copies == 0:
		c.Copies = 1000
	case c.Copies < minCopies:
		return c, fmt.Errorf("ledgertest: Copies: %d: want at least %d, or 0 for the default", c.Copies, minCopies)
	}
	return c, nil
}

// minCopies lets every check have at least four callers.
const minCopies = 40

// Run tests each rule of the contract in its own subtest.
func Run(t *testing.T, c Config) {
	t.Helper()
	c, err := c.withDefaults(testing.Short())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range checks() {
		t.Run(k.name, func(t *testing.T) {
			l := c.New(t)
			k.run(&env{
				T: t, ctx: t.Context(), ledger: l, other: c.Other(t, l), copies: c.Copies, org: "org-" + rand.Text(),
			})
		})
	}
}

type check struct {
	name string
	run  func(*env)
}

func checks() []check {
	var all []check
	all = append(all, recordChecks()...)
	all = append(all, orderChecks()...)
	all = append(all, previousChecks()...)
	all = append(all, arrivalChecks()...)
	all = append(all, linkChecks()...)
	all = append(all, readChecks()...)
	all = append(all, historyChecks()...)
	all = append(all, timelineChecks()...)
	all = append(all, concurrencyChecks()...)
	return all
}

// env is the environment of a check, with a ledger and its own organization.
type env struct {
	*testing.T
	ctx    context.Context
	ledger Ledger
	other  Ledger
	org    string
	copies int
}

// start is when the suite's deployments begin. Their times are minutes after
// it.
var start = time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

// commit returns a different commit for each letter.
func commit(letter byte) string {
	const hexDigits = "0123456789abcdef"
	sum := make([]byte, 40)
	for i := range sum {
		sum[i] = hexDigits[(int(letter)*7+i*int(letter))%16]
	}
	sum[0], sum[1] = hexDigits[letter>>4&15], hexDigits[letter&15]
	return string(sum)
}

// deployment returns a deployment of service api to production that started and
// ended at the given minutes.
func deployment(id string, status payload.Status, sha string, began, ended int) *payload.Deployment {
	d := &payload.Deployment{
		DeploymentID: id, CommitSHA: sha, Environment: "production", Service: "api", Status: status, StartedAt: at(began),
	}
	if status.Terminal() {
		d.CompletedAt = at(ended)
	}
	return d
}

func success(id string, letter byte, began, ended int) *payload.Deployment {
	return deployment(id, payload.StatusSuccess, commit(letter), began, ended)
}

// record requires that the ledger accepts a deployment.
func (e *env) record(d *payload.Deployment) deployments.Recorded {
	e.Helper()
	return e.recordFor(e.org, d)
}

func (e *env) recordFor(org string, d *payload.Deployment) deployments.Recorded {
	e.Helper()
	before := *d
	r, err := e.ledger.Record(e.ctx, org, d)
	require.NoError(e, err, "Record")
	require.Equal(e, before, *d, "Record must not change its argument")
	return r
}

// get requires that both instances have the same record of a deployment.
func (e *env) get(id string) *deployments.Record {
	e.Helper()
	r, err := e.ledger.Get(e.ctx, e.org, id)
	require.NoError(e, err, "Get")
	o, err := e.other.Get(e.ctx, e.org, id)
	require.NoError(e, err, "Get from the other instance")
	require.Equal(e, r, o, "two instances must read the same record")
	return r
}

// previous checks the recorded previous commit of a deployment.
func (e *env) previous(id, want, why string) {
	e.Helper()
	require.Equal(e, want, e.get(id).Deployment.PreviousCommitSHA, why)
}
