package sqldedupe

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/sqldb"
)

var _ dedupe.Store = (*Store)(nil)

// Store is a [dedupe.Store] in a table of a PostgreSQL or SQLite database. All
// users of the table share it, including other processes and machines.
//
// The database's clock measures time. For PostgreSQL this is clock_timestamp()
// of the server in microseconds, and for SQLite the machine's clock in
// milliseconds. Durations are rounded up to these units. Usually a claim, a
// renewal, a completion and a release take one statement each.
//
// A lease starts when the statement reads the clock. In PostgreSQL that is
// before the commit, so a commit that waits for the disk takes its time from
// the lease.
//
// The store has no goroutine. Claims delete a few expired rows each, see
// [WithPruneBatch].
//
// All methods are safe for concurrent use.
type Store struct {
	db     *sql.DB
	owned  bool
	closed atomic.Bool
	config config
	engine engine
	stmts  statements
	ttl    int64 // in the engine's units
	room   *room // nil without a capacity
	pruner pruner
	faults *contain.Faults
	made   []*sql.Stmt
	file   *sqldb.Identity // nil on PostgreSQL
	probe  sqldb.Probe
}

// engine implements the differences between the databases.
type engine interface {
	dialect() Dialect
	units(time.Duration) int64 // rounds up
	unit() time.Duration
	claim(ctx context.Context, r runner, key dedupe.Key, lease, ttl int64) (answer, error)
	prune(ctx context.Context, db *sql.DB, batch int) (deleted, later int64, err error)
	// auto runs f outside a transaction.
	auto(ctx context.Context, db *sql.DB, f func(runner) error) error
	// completesFirst reports whether InTx must complete the claim before it
	// calls the function.
	completesFirst() bool
	// learn receives the error of a transaction that completed the claim last.
	learn(err error)
	// begin begins a transaction for InTx. The guard is nil if a failed
	// transaction can only be rolled back.
	begin(ctx context.Context, db *sql.DB) (*sql.Tx, *guard, error)
	// inside returns an error if the database can tell that tx is not in a
	// transaction.
	inside(ctx context.Context, tx Tx) error
}

// answer is the result of a claim. It is the token of a granted claim, or else
// the state that blocks the key and the remaining time.
type answer struct {
	token     int64
	completed bool
	rest      int64 // in the engine's units
}

// commonStatements holds the statements that both databases have. Their
// parameters are the key, the token, and a lease or the TTL.
type commonStatements struct {
	// complete completes a claim with an existing row, if its state allows it.
	complete string
	// completeNew does the same without an existing row.
	completeNew string
	// standing returns the token that completed the key or 0, and whether the
	// claim or the completion is still valid.
	standing string
	renew    string
	release  string
	// count returns the number of valid keys, and the time until the first of
	// them expires.
	count string
	// confirm is standing, but waits for any open transaction.
	confirm string
	// probe inserts a row that Ready deletes again.
	probe string
}

type statements struct {
	complete, completeNew, standing, renew, release, count, confirm statement
}

func configure(constructor string, d Dialect, db *sql.DB, opts []Option) (config, names, error) {
	c, err := newConfig(constructor, opts)
	n, nameErr := newNames(d, c.table)
	if nameErr != nil {
		nameErr = fmt.Errorf("WithTable: %w", nameErr)
	}
	if err := errors.Join(err, nameErr); err != nil {
		return c, n, err
	}
	if db == nil {
		return c, n, fmt.Errorf("%w: %s: the database is nil", ErrConfig, constructor)
	}
	return c, n, nil
}

func newStore(db *sql.DB, c config, e engine, n names, texts commonStatements) *Store {
	st := func(text string) statement { return statement{text: n.expand(text)} }
	s := &Store{db: db, config: c, engine: e, faults: contain.New("sqldedupe", nil), ttl: e.units(c.ttl), stmts: statements{
		complete: st(texts.complete), completeNew: st(texts.completeNew), standing: st(texts.standing),
		renew: st(texts.renew), release: st(texts.release), count: st(texts.count), confirm: st(texts.confirm),
	}, probe: sqldb.Probe{Insert: n.expand(texts.probe), Delete: n.expand("DELETE FROM {table} WHERE key = ?")}}
	if c.capacity > 0 {
		s.room = newRoom(c.capacity)
	}
	return s
}

func (s *Store) prepare(ctx context.Context, all ...*statement) error {
	for _, st := range all {
		p, err := s.db.PrepareContext(ctx, st.text)
		if err != nil {
			return errors.Join(err, s.closePrepared())
		}
		st.prepared = p
		s.made = append(s.made, p)
	}
	return nil
}

func (s *Store) closePrepared() error {
	var errs []error
	for _, p := range s.made {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// Close closes the store. It closes the file that [OpenSQLite] opened, after
// the statements in progress have ended. It leaves the database of
// [NewPostgres] and [NewSQLite] open. Later calls return [dedupe.ErrClosed], so
// that no delivery is handled without protection.
//
// Closing again, or closing a nil or zero Store, does nothing.
func (s *Store) Close() error {
	if s.empty() || s.closed.Swap(true) {
		return nil
	}
	err := s.closePrepared()
	if s.owned {
		err = errors.Join(err, s.db.Close())
	}
	return err
}

// errEmpty is the error of a Store that no constructor created.
var errEmpty = fmt.Errorf("%w: the Store is empty; create it with OpenSQLite, NewSQLite or NewPostgres", dedupe.ErrInvalid)

func (s *Store) empty() bool { return s == nil || s.engine == nil }

// TTL implements [dedupe.Store]. It returns zero for a Store that no
// constructor created.
func (s *Store) TTL() time.Duration {
	if s.empty() {
		return 0
	}
	return s.config.ttl
}

// Claim implements [dedupe.Store]. In PostgreSQL it never waits for a
// transaction that completes the claim, see [Store.InTx]. If the lease ends
// before that transaction, the delivery stays in flight with a RetryAfter of
// one second.
func (s *Store) Claim(ctx context.Context, key dedupe.Key, lease time.Duration) (dedupe.Claim, error) {
	if key == (dedupe.Key{}) {
		return dedupe.Claim{}, fmt.Errorf("%w: sqldedupe: Claim: the key is zero; create it with dedupe.NewKey", dedupe.ErrInvalid)
	}
	if lease <= 0 {
		return dedupe.Claim{}, fmt.Errorf("%w: sqldedupe: Claim: the lease is %v; it must be greater than zero", dedupe.ErrInvalid, lease)
	}
	if err := s.usable(ctx); err != nil {
		return dedupe.Claim{}, fmt.Errorf("sqldedupe: Claim: %w", err)
	}
	a, err := s.claim(ctx, key, lease)
	if err != nil {
		return dedupe.Claim{}, s.fail(ctx, "Claim", err)
	}
	s.pruneIfDue(ctx)
	switch {
	case a.token > 0:
		return dedupe.Claim{Key: key, State: dedupe.Claimed, Token: dedupe.Token(a.token)}, nil
	case a.completed:
		return dedupe.Claim{Key: key, State: dedupe.Completed}, nil
	}
	return dedupe.Claim{Key: key, State: dedupe.InFlight, RetryAfter: time.Duration(a.rest) * s.engine.unit()}, nil
}

func (s *Store) claim(ctx context.Context, key dedupe.Key, lease time.Duration) (a answer, err error) {
	if s.room != nil {
		free, e := s.isFree(ctx, key)
		if e != nil {
			return a, e
		}
		if free {
			if err = s.room.take(ctx, s.count); err != nil {
				return a, err
			}
			// The row may exist even after an error.
			defer func() { s.room.settle(a.token > 0 || err != nil) }()
		}
	}
	err = s.engine.auto(ctx, s.db, func(r runner) error {
		a, err = s.engine.claim(ctx, r, key, s.engine.units(lease), s.ttl)
		return err
	})
	return a, err
}

// Renew implements [dedupe.Store]. It waits for an open transaction that
// completed the same claim.
func (s *Store) Renew(ctx context.Context, c dedupe.Claim, lease time.Duration) error {
	if lease <= 0 {
		return fmt.Errorf("%w: sqldedupe: Renew: the lease is %v; it must be greater than zero", dedupe.ErrInvalid, lease)
	}
	if err := s.owns(ctx, "Renew", c); err != nil {
		return err
	}
	return s.fail(ctx, "Renew", s.engine.auto(ctx, s.db, func(r runner) error {
		var one int
		renewed, err := r.one(ctx, &s.stmts.renew, []any{c.Key[:], int64(c.Token), s.engine.units(lease)}, &one)
		if err == nil && !renewed {
			err = dedupe.ErrLeaseLost
		}
		return err
	}))
}

// Complete implements [dedupe.Store]. It ignores the limit of [WithCapacity]. A
// handled delivery is remembered as long as the disk has room.
func (s *Store) Complete(ctx context.Context, c dedupe.Claim) error {
	if err := s.owns(ctx, "Complete", c); err != nil {
		return err
	}
	err := s.engine.auto(ctx, s.db, func(r runner) error { return s.complete(ctx, r, c) })
	if errors.Is(err, ErrCompleted) {
		return nil
	}
	return s.fail(ctx, "Complete", err)
}

// complete returns ErrCompleted if the same claim already completed the key.
func (s *Store) complete(ctx context.Context, r runner, c dedupe.Claim) error {
	var one int
	args := []any{c.Key[:], int64(c.Token), s.ttl}
	for try := range claimTries {
		if err := pause(ctx, try); err != nil {
			return err
		}
		if done, err := r.one(ctx, &s.stmts.complete, args, &one); err != nil || done {
			return err
		}
		var by int64
		var inForce bool
		found, err := r.one(ctx, &s.stmts.standing, args[:1], &by, &inForce)
		switch {
		case err != nil:
			return err
		case found && inForce && by == int64(c.Token):
			return ErrCompleted
		case found && inForce:
			return dedupe.ErrLeaseLost
		case found:
			continue // it has become free since
		}
		// The row was pruned, so no other caller holds the key.
		if done, err := r.one(ctx, &s.stmts.completeNew, args, &one); err != nil || done {
			return err
		}
	}
	// Each time another caller held the key when written, but had released it
	// when read.
	return dedupe.ErrLeaseLost
}

// Release implements [dedupe.Store].
func (s *Store) Release(ctx context.Context, c dedupe.Claim) error {
	if err := s.owns(ctx, "Release", c); err != nil {
		return err
	}
	var one int
	var released, inForce bool
	err := s.engine.auto(ctx, s.db, func(r runner) (err error) {
		if released, err = r.one(ctx, &s.stmts.release, []any{c.Key[:], int64(c.Token)}, &one); err != nil || released {
			return err
		}
		var by int64
		found, err := r.one(ctx, &s.stmts.standing, []any{c.Key[:]}, &by, &inForce)
		if err == nil && found && inForce {
			err = dedupe.ErrLeaseLost
		}
		return err
	})
	if err == nil && released && s.room != nil {
		s.room.released()
	}
	return s.fail(ctx, "Release", err)
}

// owns refuses a claim that gives no rights.
func (s *Store) owns(ctx context.Context, operation string, c dedupe.Claim) error {
	if c.State != dedupe.Claimed || c.Token <= 0 || c.Key == (dedupe.Key{}) {
		return fmt.Errorf("%w: sqldedupe: %s: the claim has state %v; use one that Claim returned with state claimed", dedupe.ErrInvalid, operation, c.State)
	}
	if err := s.usable(ctx); err != nil {
		return fmt.Errorf("sqldedupe: %s: %w", operation, err)
	}
	return nil
}

func (s *Store) usable(ctx context.Context) error {
	if s.empty() {
		return errEmpty
	}
	if s.closed.Load() {
		return dedupe.ErrClosed
	}
	if err := s.file.Check(); err != nil {
		return err
	}
	return ctx.Err()
}

// ceil returns d in units, rounded up, because a lease must not end too early.
func ceil(d, unit time.Duration) int64 {
	n := int64(d / unit)
	if d%unit > 0 {
		n++
	}
	return n
}
