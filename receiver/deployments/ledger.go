package deployments

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// Ledger stores the deployments that an [Endpoint] receives, one record for
// each organization and deployment ID. [NewMemoryLedger] is the embedded
// implementation. Package sqlledger stores them in SQLite or PostgreSQL. To
// write your own, use [Apply] for the rules and test it with package
// ledgertest.
//
// All methods must:
//
//   - be safe for concurrent use, also by several processes that share the
//     ledger;
//   - take effect completely or not at all;
//   - be durable when they return nil, as far as the ledger is durable;
//   - return soon after their context ends;
//   - never let an organization see, change or count another's records.
//
// The interface is frozen: it gets no further method. Further abilities become
// optional interfaces, as [History] is one.
type Ledger interface {
	// Record creates or updates the record of d by the rules of [Apply] and
	// returns the result. If several calls for one deployment run concurrently,
	// exactly one creates it. An error means that nothing changed. The error
	// wraps [ErrLedgerFull] if there is no room. The ledger neither changes nor
	// keeps d.
	Record(ctx context.Context, organization string, d *payload.Deployment) (Recorded, error)

	// SetLinked stores the number of pull requests of a link, including zero.
	// It returns nil without storing the number if the record's commits,
	// service or environment changed since the link was made. It returns
	// [ErrNotRecorded] for a deployment that is not recorded.
	SetLinked(ctx context.Context, link Link, prs int) error

	// RecordIncident creates or updates the record of i by the rules of
	// [ApplyIncident]. The guarantees of Record apply.
	RecordIncident(ctx context.Context, organization string, i *payload.Incident) (RecordedIncident, error)
}

// History provides the data that metrics are computed from. The ledgers of this
// module implement it. The iterators do not read a snapshot. A record that
// changes during an iteration may appear twice or not at all. An error ends an
// iteration.
//
// The interface is frozen: it gets no further method.
type History interface {
	// Scopes returns the services and environments that have deployments, in
	// order.
	Scopes(ctx context.Context, organization string) ([]Scope, error)
	// Runs yields the runs of a scope with [Run.At] in [from, to), in the order
	// of [CompareRuns]. A zero time means no bound. It reads one page at a
	// time.
	Runs(ctx context.Context, organization string, s Scope, from, to time.Time) iter.Seq2[Run, error]
	// Incidents yields all incidents, ordered by the time of their opening.
	Incidents(ctx context.Context, organization string) iter.Seq2[payload.Incident, error]
}

var (
	// ErrLedgerFull is wrapped by the error of a bounded ledger without room. A
	// ledger never makes room by forgetting records.
	ErrLedgerFull = errors.New("deployments: the ledger is full")
	// ErrNotRecorded is wrapped by a ledger's error for a deployment that is
	// not recorded.
	ErrNotRecorded = errors.New("deployments: the deployment is not recorded")
	// ErrClosed is wrapped by every error of a closed ledger.
	ErrClosed = errors.New("deployments: the ledger is closed")
	// ErrNoOrganization is wrapped by a ledger's error for an empty
	// organization.
	ErrNoOrganization = errors.New("deployments: the organization is empty; every deployment belongs to one")
)

// Record is a ledger's record of one deployment.
type Record struct {
	// ID numbers the records of an organization from 1, without gaps. It never
	// changes.
	ID int64
	// Deployment combines the deliveries about the deployment, see [Apply]. The
	// ledger may have filled in its PreviousCommitSHA.
	Deployment *payload.Deployment
	// PreviousGiven reports whether the sender set the previous commit. If not,
	// the ledger filled it in or found none.
	PreviousGiven bool
	// PreviousCommits has the commits that the previous deployment took from
	// the repositories in Deployment.Commits. A repository that the previous
	// deployment does not name is missing.
	PreviousCommits []RepositoryCommit
	// SucceededAt is when the deployment succeeded, to the microsecond. It is
	// zero if no success is known. A rollback keeps it.
	SucceededAt time.Time
	// Reports has the data of the deliveries that metrics need. It has the
	// earliest and the latest report of each status, including stale ones,
	// ordered by the times in the reports. See [Record.Run].
	Reports []*payload.Deployment
	// LinkedPRs is the number of pull requests in the deployment. It is 0 until
	// they are counted.
	LinkedPRs int
	// Linked reports whether LinkedPRs was counted for the recorded commits.
	Linked bool
	// RecordedAt is when the ledger created the record, by the ledger's clock.
	RecordedAt time.Time
	// UpdatedAt is when Deployment last changed, by the ledger's clock.
	UpdatedAt time.Time
}

// Link returns the [Link] for counting the record's pull requests.
func (r *Record) Link(organization string) Link {
	d := r.Deployment
	return Link{
		Organization: organization, DeploymentID: d.DeploymentID, Service: d.Service, Environment: d.Environment,
		RepositoryURL: d.RepositoryURL, Commit: d.CommitSHA, PreviousCommit: d.PreviousCommitSHA, Commits: r.linkCommits(),
	}
}

// Recorded is the result of [Ledger.Record].
type Recorded struct {
	// Record is the record after the call.
	Record
	// Created reports whether the call created the record.
	Created bool
	// Stale reports whether the delivery was older than the record. Nothing of
	// a stale delivery is kept, except the time of a success that was rolled
	// back.
	Stale bool
	// Transition classifies the change from the recorded status to the
	// delivery's.
	Transition payload.Transition
	// Contradiction is set if the delivery has the deployment's ID but cannot
	// describe the recorded deployment.
	Contradiction *Contradiction
	// Shifted has the other records whose filled-in previous commit changed
	// because of this deployment. Their pull requests must be counted again.
	Shifted []Record
}

// Filter selects records. Zero fields match everything.
type Filter struct {
	Service     string
	Environment string
	// Status is one of the six statuses. Any other is an error that wraps
	// [ErrInvalid].
	Status payload.Status
	// Since excludes deployments that started before it.
	Since time.Time
	// Unlinked selects successful deployments whose pull requests were not
	// counted. Either linking failed, or their environment is not linked.
	// Combine it with an environment.
	Unlinked bool
}

// Validate is for ledgers. An unknown Status is an error that wraps
// [ErrInvalid]. An empty list would look as if there were no such records.
func (f Filter) Validate() error {
	if f.Status != "" && !f.Status.Known() {
		return fmt.Errorf("%w: Filter.Status: %.50q is not a status of a deployment", ErrInvalid, f.Status)
	}
	return nil
}

// Link describes a successful deployment whose pull requests are to be counted.
// Make it with [Record.Link]. Only the fields that say so can be empty.
type Link struct {
	Organization string
	DeploymentID string
	// Service is empty if the deployment names none.
	Service     string
	Environment string
	// RepositoryURL is empty if the deployment has none.
	RepositoryURL string
	// Commit is the deployed commit, 5 to 40 hexadecimal digits.
	Commit string
	// PreviousCommit is the commit that was deployed before, or empty if
	// unknown. A value from the sender may be any text.
	PreviousCommit string
	// Commits are those of further repositories, each repository once. Empty
	// means that no others were deployed.
	Commits []LinkCommit
}

// LinkCommit is the commit of a further repository in a [Link]. Only
// PreviousCommit can be empty.
type LinkCommit struct {
	RepositoryURL string
	// Commit is the deployed commit, 5 to 40 hexadecimal digits.
	Commit string
	// PreviousCommit is the commit that was deployed before, or empty if
	// unknown.
	PreviousCommit string
}

// Equal reports whether both links count the same pull requests.
func (l Link) Equal(other Link) bool {
	return l.Organization == other.Organization && l.DeploymentID == other.DeploymentID && l.Service == other.Service &&
		l.Environment == other.Environment && l.RepositoryURL == other.RepositoryURL && l.Commit == other.Commit &&
		l.PreviousCommit == other.PreviousCommit && slices.Equal(l.Commits, other.Commits)
}

// Linker counts the merged pull requests in a deployment. They lie between the
// previous commit, exclusive, and the deployed commit, inclusive. Without a
// previous commit, only the deployed commit counts. The same holds for each
// further repository. Package gitlinker counts them in local git repositories.
//
// An error means that the number is unknown. A Linker must be safe for
// concurrent use and return soon after its context ends.
//
// The interface is frozen: it gets no further method. A [Link] may get further
// fields.
type Linker interface {
	LinkedPRs(ctx context.Context, link Link) (int, error)
}

// LinkerFunc adapts a function to [Linker]. A nil LinkerFunc returns an error
// that wraps [ErrConfig].
type LinkerFunc func(ctx context.Context, link Link) (int, error)

// LinkedPRs calls f.
func (f LinkerFunc) LinkedPRs(ctx context.Context, link Link) (int, error) {
	if f == nil {
		return 0, configError("the LinkerFunc is nil; pass a function")
	}
	return f(ctx, link)
}
