package deployments

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments/internal/documents"
)

// DefaultLedgerBytes is the capacity of a [MemoryLedger] in bytes, enough for
// about thirty thousand typical deployments.
const DefaultLedgerBytes = 64 << 20

// rowOverhead is an upper bound of the memory per record besides its documents,
// in bytes.
const rowOverhead = 1024

// A MemoryLedgerOption configures [NewMemoryLedger].
type MemoryLedgerOption interface {
	applyToLedger(*memoryLedgerConfig)
}

type memoryLedgerConfig struct{ bytes int64 }

type memoryLedgerOption func(*memoryLedgerConfig)

func (f memoryLedgerOption) applyToLedger(c *memoryLedgerConfig) { f(c) }

// WithLedgerBytes sets the capacity of a [MemoryLedger] in bytes. A record uses
// the bytes of its document, its reports and its previous commits plus 1024.
// Default: 64 MiB ([DefaultLedgerBytes]). Less than 4096 is an error, and so is
// zero.
func WithLedgerBytes(n int64) MemoryLedgerOption {
	return memoryLedgerOption(func(c *memoryLedgerConfig) { c.bytes = n })
}

// MemoryLedger keeps deployments in memory, for tests and for services that may
// lose them when they end. It is bounded and never removes a record. A full
// ledger refuses new deployments with [ErrLedgerFull], and an [Endpoint]
// answers 503. It is safe for concurrent use. It has no goroutine.
type MemoryLedger struct {
	capacity int64

	mu     sync.Mutex
	closed bool
	used   int64
	orgs   map[string]*memoryOrg
}

var _ Ledger = (*MemoryLedger)(nil)

// NewMemoryLedger returns an empty ledger. It reports all configuration errors
// at once, and they wrap [ErrConfig].
func NewMemoryLedger(opts ...MemoryLedgerOption) (*MemoryLedger, error) {
	c := memoryLedgerConfig{bytes: DefaultLedgerBytes}
	for _, o := range opts {
		if o == nil {
			return nil, configError("NewMemoryLedger: an option is nil; leave it out instead")
		}
		o.applyToLedger(&c)
	}
	if c.bytes < 4096 {
		return nil, configError("WithLedgerBytes(%d): want at least 4096; leave it out for the default of %d", c.bytes, DefaultLedgerBytes)
	}
	return &MemoryLedger{capacity: c.bytes, orgs: make(map[string]*memoryOrg)}, nil
}

// Close removes all records and frees their memory. It does not wait. Later
// calls return [ErrClosed].
//
// Closing again, or closing a nil or zero MemoryLedger, does nothing. The error
// is always nil.
func (l *MemoryLedger) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.used = true, 0
	clear(l.orgs)
	return nil
}

// memoryOrg has the records of one organization.
type memoryOrg struct {
	rows   []*memoryRow // by ID, which is the index plus 1
	byID   map[string]*memoryRow
	scopes map[memoryScope]*memoryPlaces

	runs      map[Scope][]*Run // in the order of CompareRuns
	incidents map[string]*memoryIncident
}

// memoryPlaces has the deployments of one service to one environment, ordered
// by position.
type memoryPlaces struct {
	all       []*memoryRow
	succeeded []*memoryRow // those with a SucceededAt
}

type memoryScope struct{ service, environment string }

// memoryRow stores the document encoded. That needs the least memory and shares
// none with callers.
type memoryRow struct {
	meta     Record // without Deployment
	document []byte
	reports  []byte
	run      *Run
	position Position
	status   payload.Status
	started  time.Time
	until    int64 // when it was rolled back, in microseconds since 1970
}

// liveAt implements Record.LiveAt.
func (r *memoryRow) liveAt(at int64) bool {
	return !r.meta.SucceededAt.IsZero() && r.position.At <= at && (r.status == payload.StatusSuccess || r.until > at)
}

func (r *memoryRow) record() (*Record, error) {
	d, err := payload.DecodeDeployment(r.document)
	if err != nil {
		return nil, fmt.Errorf("deployments: cannot decode a record: %w", err)
	}
	record := r.meta
	record.Deployment, record.PreviousCommits = d, slices.Clone(r.meta.PreviousCommits)
	if record.Reports, err = documents.Decode(r.reports, payload.DecodeDeployment); err != nil {
		return nil, fmt.Errorf("deployments: a record can't be read: %w", err)
	}
	return &record, nil
}

// Record implements [Ledger.Record].
func (l *MemoryLedger) Record(ctx context.Context, organization string, d *payload.Deployment) (Recorded, error) {
	if err := l.begin(ctx, organization); err != nil {
		return Recorded{}, err
	}
	defer l.mu.Unlock()
	return Apply(ctx, &memoryTx{ledger: l, organization: organization, org: l.orgs[organization]}, d)
}

// SetLinked implements [Ledger.SetLinked].
func (l *MemoryLedger) SetLinked(ctx context.Context, link Link, prs int) error {
	if err := l.begin(ctx, link.Organization); err != nil {
		return err
	}
	defer l.mu.Unlock()
	row := l.find(link.Organization, link.DeploymentID)
	if row == nil {
		return ErrNotRecorded
	}
	record, err := row.record()
	if err != nil {
		return err
	}
	if record.Link(link.Organization).Equal(link) {
		row.meta.Linked, row.meta.LinkedPRs = true, prs
	}
	return nil
}

// Get returns the record of one deployment, or [ErrNotRecorded].
func (l *MemoryLedger) Get(ctx context.Context, organization, deploymentID string) (*Record, error) {
	if err := l.begin(ctx, organization); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	row := l.find(organization, deploymentID)
	if row == nil {
		return nil, ErrNotRecorded
	}
	return row.record()
}

// List returns a page of the records that match the filter, newest first, in
// descending order of their IDs.
func (l *MemoryLedger) List(ctx context.Context, organization string, f Filter, p Page) (Records, error) {
	limit, before, err := p.Bounds()
	if err = errors.Join(err, f.Validate()); err != nil {
		return Records{}, err
	}
	if err := l.begin(ctx, organization); err != nil {
		return Records{}, err
	}
	defer l.mu.Unlock()
	org := l.orgs[organization]
	if org == nil {
		return Records{}, nil
	}
	var found []Record
	for _, row := range slices.Backward(org.rows) {
		if len(found) > limit {
			break
		}
		if row.meta.ID >= before || !row.matches(f) {
			continue
		}
		record, err := row.record()
		if err != nil {
			return Records{}, err
		}
		found = append(found, *record)
	}
	return p.Records(found)
}

func (r *memoryRow) matches(f Filter) bool {
	return (f.Service == "" || r.position.Service == f.Service) &&
		(f.Environment == "" || r.position.Environment == f.Environment) &&
		(f.Status == "" || r.status == f.Status) &&
		(f.Since.IsZero() || r.started.UnixMicro() >= f.Since.UnixMicro()) &&
		(!f.Unlinked || r.status == payload.StatusSuccess && !r.meta.Linked)
}

func (l *MemoryLedger) find(organization, deploymentID string) *memoryRow {
	org := l.orgs[organization]
	if org == nil {
		return nil
	}
	return org.byID[deploymentID]
}

// begin locks the ledger unless it returns an error. It is safe to call on a
// nil ledger.
func (l *MemoryLedger) begin(ctx context.Context, organization string) error {
	switch {
	case l == nil || l.orgs == nil:
		return configError("the MemoryLedger was not made with NewMemoryLedger; check the error of NewMemoryLedger")
	case organization == "":
		return ErrNoOrganization
	case ctx.Err() != nil:
		return ctx.Err()
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	return nil
}

// memoryTx is a transaction under the ledger's lock. Everything that can fail
// does so before the first change, so nothing needs a rollback.
type memoryTx struct {
	ledger       *MemoryLedger
	organization string
	org          *memoryOrg // nil before its first record
	found        int64      // the record that this call updates
}

var errNoRow = errors.New("deployments: the memory ledger has no such record")

func (tx *memoryTx) Find(_ context.Context, deploymentID string) (*Record, error) {
	row := tx.ledger.find(tx.organization, deploymentID)
	if row == nil {
		return nil, nil
	}
	tx.found = row.meta.ID
	return row.record()
}

func (tx *memoryTx) Insert(_ context.Context, r *Record) error {
	document, err := r.Deployment.Encode()
	if err != nil {
		return err
	}
	reports, err := documents.Encode(r.Reports)
	if err != nil {
		return err
	}
	if err := tx.grow(int64(len(document)+len(reports)+sizeOf(r.PreviousCommits)) + rowOverhead); err != nil {
		return err
	}
	r.ID = int64(len(tx.org.rows)) + 1
	row := &memoryRow{}
	tx.org.rows = append(tx.org.rows, row)
	row.set(r, document, reports)
	tx.org.byID[row.position.DeploymentID] = row
	tx.org.join(row)
	return nil
}

func (tx *memoryTx) Update(_ context.Context, r *Record) error {
	if tx.org == nil || r.ID < 1 || r.ID > int64(len(tx.org.rows)) {
		return errNoRow
	}
	row := tx.org.rows[r.ID-1]
	document, err := r.Deployment.Encode()
	if err != nil {
		return err
	}
	reports, err := documents.Encode(r.Reports)
	if err != nil {
		return err
	}
	l := tx.ledger
	grown := int64(len(document) - len(row.document) + len(reports) - len(row.reports) +
		sizeOf(r.PreviousCommits) - sizeOf(row.meta.PreviousCommits))
	// A filled-in commit of another record is never refused, because the
	// deployment that it comes from is accepted.
	if r.ID == tx.found && grown > 0 && l.used+grown > l.capacity {
		return l.full()
	}
	l.used += grown
	tx.org.leave(row)
	row.set(r, document, reports)
	tx.org.join(row)
	return nil
}

// grow reserves room for new data. It creates the organization if it is new.
func (tx *memoryTx) grow(size int64) error {
	l := tx.ledger
	if tx.org == nil {
		size += int64(len(tx.organization)) + rowOverhead
	}
	if l.used+size > l.capacity {
		return l.full()
	}
	l.used += size
	if tx.org == nil {
		tx.org = &memoryOrg{
			byID: make(map[string]*memoryRow), scopes: make(map[memoryScope]*memoryPlaces),
			runs: make(map[Scope][]*Run), incidents: make(map[string]*memoryIncident),
		}
		l.orgs[tx.organization] = tx.org
	}
	return nil
}

func (l *MemoryLedger) full() error {
	return fmt.Errorf("%w: %d of %d bytes are in use; raise WithLedgerBytes, or keep deployments in a database with package sqlledger",
		ErrLedgerFull, l.used, l.capacity)
}

func (r *memoryRow) set(record *Record, document, reports []byte) {
	r.meta, r.document, r.reports = *record, document, reports
	run := record.Run()
	r.run = run.clone()
	r.position, r.status, r.started = record.Position(), record.Deployment.Status, record.Deployment.StartedAt
	r.until = record.Deployment.CompletedAt.UnixMicro()
	// Decoded strings share the memory of their document. Clone them so that
	// the document is not kept twice.
	r.position.Service, r.position.Environment = strings.Clone(r.position.Service), strings.Clone(r.position.Environment)
	r.position.DeploymentID = strings.Clone(r.position.DeploymentID)
	r.status = payload.Status(strings.Clone(string(r.status)))
	r.meta.Deployment, r.meta.Reports, r.meta.PreviousCommits = nil, nil, nil
	for _, c := range record.PreviousCommits {
		r.meta.PreviousCommits = append(r.meta.PreviousCommits, c.clone())
	}
}

func compareRow(r *memoryRow, p Position) int { return r.position.Compare(p) }

func (p Position) scope() memoryScope { return memoryScope{p.Service, p.Environment} }

func insertRow(rows []*memoryRow, row *memoryRow) []*memoryRow {
	i, _ := slices.BinarySearchFunc(rows, row.position, compareRow)
	return slices.Insert(rows, i, row)
}

func deleteRow(rows []*memoryRow, row *memoryRow) []*memoryRow {
	if i, ok := slices.BinarySearchFunc(rows, row.position, compareRow); ok {
		return slices.Delete(rows, i, i+1)
	}
	return rows
}

func (o *memoryOrg) join(row *memoryRow) {
	places := o.scopes[row.position.scope()]
	if places == nil {
		places = &memoryPlaces{}
		o.scopes[row.position.scope()] = places
	}
	places.all = insertRow(places.all, row)
	if !row.meta.SucceededAt.IsZero() {
		places.succeeded = insertRow(places.succeeded, row)
	}
	runs := o.runs[row.run.Scope]
	i, _ := slices.BinarySearchFunc(runs, row.run, CompareRuns)
	o.runs[row.run.Scope] = slices.Insert(runs, i, row.run)
}

func (o *memoryOrg) leave(row *memoryRow) {
	places := o.scopes[row.position.scope()]
	places.all = deleteRow(places.all, row)
	if !row.meta.SucceededAt.IsZero() {
		places.succeeded = deleteRow(places.succeeded, row)
	}
	if len(places.all) == 0 {
		delete(o.scopes, row.position.scope())
	}
	runs := o.runs[row.run.Scope]
	if i, ok := slices.BinarySearchFunc(runs, row.run, CompareRuns); ok {
		runs = slices.Delete(runs, i, i+1)
	}
	if o.runs[row.run.Scope] = runs; len(runs) == 0 {
		delete(o.runs, row.run.Scope)
	}
}

// places returns the records of p's service and environment, or none.
func (tx *memoryTx) places(p Position) memoryPlaces {
	if tx.org == nil || tx.org.scopes[p.scope()] == nil {
		return memoryPlaces{}
	}
	return *tx.org.scopes[p.scope()]
}

func (tx *memoryTx) Before(_ context.Context, p Position) (*Record, error) {
	rows := tx.places(p).succeeded
	i, _ := slices.BinarySearchFunc(rows, p, compareRow)
	for _, row := range slices.Backward(rows[:i]) {
		if row.position.DeploymentID != p.DeploymentID && row.liveAt(p.At) {
			return row.record()
		}
	}
	return nil, nil
}

func (tx *memoryTx) Following(_ context.Context, p Position) ([]*Record, error) {
	rows := tx.places(p).all
	i, _ := slices.BinarySearchFunc(rows, p, compareRow)
	var following []*Record
	for _, row := range rows[i:] {
		if row.position.DeploymentID == p.DeploymentID {
			continue
		}
		record, err := row.record()
		if err != nil {
			return nil, err
		}
		following = append(following, record)
		if row.status == payload.StatusSuccess {
			break
		}
	}
	return following, nil
}
