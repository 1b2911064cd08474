package deployments

import (
	"context"
	"errors"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// Ledger keeps the deployments that an [Endpoint] takes, one record for each organization and deployment ID.
// [NewMemoryLedger] is the embedded one; package sqlledger keeps them in SQLite or PostgreSQL. For a ledger of your own,
// [Apply] holds the rules and package ledgertest checks the result.
//
// Both methods must be safe for concurrent use, also by several processes where they share the ledger, must take effect
// completely or not at all, and must be durable, as far as the ledger is, when they return nil. They return soon after
// their context has ended. No organization ever sees, changes or counts another's records.
type Ledger interface {
	// Record creates the record of d or updates the one that its deployment ID has, by the rules of [Apply],
	// and returns what is then on record. Of any number of concurrent calls for one deployment, exactly one creates it. An
	// error means that nothing was changed; one that wraps [ErrLedgerFull] that there is no room. The ledger neither
	// changes nor keeps d.
	Record(ctx context.Context, organization string, d *payload.Deployment) (Recorded, error)

	// SetLinked stores how many pull requests a link has, zero included. If the record's commits, service or
	// environment have become others since the link was made, the number belongs to the past: it is not stored, which is no
	// error. A deployment that is not on record is [ErrNotRecorded].
	SetLinked(ctx context.Context, link Link, prs int) error
}

var (
	// ErrLedgerFull is wrapped by what a bounded ledger returns when it has no room. It never makes room by forgetting.
	ErrLedgerFull = errors.New("deployments: the ledger is full")
	// ErrNotRecorded is wrapped by what a ledger returns for a deployment that is not on record.
	ErrNotRecorded = errors.New("deployments: the deployment is not on record")
	// ErrNoOrganization is wrapped by what a ledger returns when it is called for no organization.
	ErrNoOrganization = errors.New("deployments: a deployment belongs to an organization, and none was given")
)

// Record is what a ledger has on one deployment.
type Record struct {
	// ID is the number of the record, from 1, without gaps, within its organization. It never changes.
	ID int64
	// Deployment is the deployment as its deliveries have told it, see [Apply]. Its PreviousCommitSHA may have been
	// filled in.
	Deployment *payload.Deployment
	// PreviousGiven reports that the sender gave the previous commit; otherwise the ledger filled it in, or found none.
	PreviousGiven bool
	// SucceededAt is when the deployment succeeded, to the microsecond. It is zero
	// if it is not known to have succeeded. A rollback keeps it.
	SucceededAt time.Time
	// LinkedPRs is how many pull requests the deployment brought; 0 until they have been counted.
	LinkedPRs int
	// Linked reports that LinkedPRs was counted for the commits on record.
	Linked bool
	// RecordedAt is when the record was created, by the ledger's clock.
	RecordedAt time.Time
	// UpdatedAt is when its deployment last changed, by the ledger's clock.
	UpdatedAt time.Time
}

// Link returns what a [Linker] needs to count the record's pull requests.
func (r *Record) Link(organization string) Link {
	d := r.Deployment
	return Link{
		Organization: organization, DeploymentID: d.DeploymentID, Service: d.Service, Environment: d.Environment,
		Commit: d.CommitSHA, PreviousCommit: d.PreviousCommitSHA,
	}
}

// Recorded is what [Ledger.Record] did.
type Recorded struct {
	// Record is what is on record now.
	Record
	// Created reports that there was no record before.
	Created bool
	// Stale reports that the delivery was older than the record, so that nothing of
	// it was kept but the time of a success that was rolled back.
	Stale bool
	// Transition is what the delivery's status meant to the one that was on record.
	Transition payload.Transition
	// Contradiction is not nil if the delivery can't be about the deployment that
	// was on record, although it has its ID.
	Contradiction *Contradiction
	// Shifted are other records whose filled-in previous commit changed, because it
	// depends on this deployment. Their pull requests have to be counted again.
	Shifted []Record
}

// Filter chooses records. The zero filter is all of them; empty fields do not narrow.
type Filter struct {
	Service     string
	Environment string
	Status      payload.Status
	// Since leaves out what started before.
	Since time.Time
	// Unlinked leaves only successful deployments whose pull requests have not been counted: where linking failed, or never was to
	// happen. Name the environment with it.
	Unlinked bool
	// Limit is how many records to return at most. Zero and less mean 100; more than 1000 means 1000.
	Limit int
	// Before is for the next page: only records with an ID lower than this, the last one's of the page before. Zero: no bound.
	Before int64
}

// The bounds of Filter.Limit.
const (
	defaultListLimit = 100
	maxListLimit     = 1000
)

// PageSize is the number of records that Limit stands for.
func (f Filter) PageSize() int {
	if f.Limit <= 0 {
		return defaultListLimit
	}
	return min(f.Limit, maxListLimit)
}

// Link is a successful deployment whose pull requests are to be counted.
type Link struct {
	Organization string
	DeploymentID string
	// Service is empty where the deployment names none.
	Service     string
	Environment string
	// Commit is what was deployed: 5 to 40 hexadecimal digits.
	Commit string
	// PreviousCommit is what was deployed there before, as the sender gave it (then it may be any text) or the ledger found
	// it. Empty: not known.
	PreviousCommit string
}

// Linker counts the merged pull requests that a deployment brought: those between the previous commit, exclusive, and the
// deployed one, inclusive; without a previous commit, the one that the deployed commit belongs to. Package gitlinker does it
// on a local git repository.
//
// An error means that the number is not known. A Linker must be safe for concurrent use and return soon after its
// context has ended.
type Linker interface {
	LinkedPRs(ctx context.Context, link Link) (int, error)
}

// LinkerFunc is a function as a [Linker]. A nil one returns an error that wraps
// [ErrConfig].
type LinkerFunc func(ctx context.Context, link Link) (int, error)

// LinkedPRs calls f.
func (f LinkerFunc) LinkedPRs(ctx context.Context, link Link) (int, error) {
	if f == nil {
		return 0, configError("the LinkerFunc is nil")
	}
	return f(ctx, link)
}
