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
)

var _ dedupe.Store = (*Store)(nil)

// Store is a [dedupe.Store] in a table of a PostgreSQL or SQLite database. Everybody who uses the table shares it: other
// processes, other machines.
//
// Time is measured with the database's clock: clock_timestamp() of the PostgreSQL server, to the microsecond, or the clock
// of the machine for SQLite, to the millisecond; durations are rounded up to that. A claim, a renewal, a completion and a
// release are one statement each on the common path.
//
// There is no goroutine behind it. Claims delete expired rows, a few at a time; see [WithPruneBatch].
//
// All methods may be called from any goroutine at any time.
type Store struct {
	db     *sql.DB
	owned  bool
	closed atomic.Bool
	config config
	engine engine
	stmts  statements
	ttl    int64 // in the engine's units
	room   *room // nil without a bound
	pruner pruner
	faults *contain.Faults
	made   []*sql.Stmt
}

// engine is what differs between the databases.
type engine interface {
	units(time.Duration) int64 // rounds up
	unit() time.Duration
	claim(ctx context.Context, r runner, key dedupe.Key, lease, ttl int64) (answer, error)
	prune(ctx context.Context, db *sql.DB, batch int) (deleted, later int64, err error)
	// auto runs f outside a transaction.
	auto(ctx context.Context, db *sql.DB, f func(runner) error) error
	// completesFirst says that InTx completes the claim before it does anything else in the transaction.
	completesFirst() bool
	// learn is told the error of a completion that came last.
	learn(err error)
	// begin begins a transaction of InTx. The guard is nil where a transaction that failed can only be rolled back.
	begin(ctx context.Context, db *sql.DB) (*sql.Tx, *guard, error)
	// inside fails where the database can tell that a caller's transaction is none.
	inside(ctx context.Context, tx Tx) error
}

// answer is what became of a claim: a token if it was granted, else what holds the key, and for how long.
type answer struct {
	token     int64
	completed bool
	rest      int64 // in the engine's units
}

// commonStatements are the texts of what both databases do in the same way. Parameters are the key, the token, and a
// lease or the TTL.
type commonStatements struct {
	complete    string // completes a claim whose row is there, if the state allows it
	completeNew string // the same if the row is not there
	standing    string // the token that completed the key or 0, and whether that or the claim is in force
	renew       string
	release     string
	count       string // of the keys in force, and how long until the first of them isn't
	confirm     string // like standing, after any transaction that is under way
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
	}}
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

// Close ends the store. It closes the file that [OpenSQLite] opened, after the
// statements in progress. It leaves the database of [NewPostgres] and
// [NewSQLite] open. Further calls return [dedupe.ErrClosed], so that nothing is
// handled unprotected.
//
// Closing again does nothing, nor does closing a nil or zero Store.
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

// errEmpty is the error of a Store that no constructor made.
var errEmpty = fmt.Errorf("%w: the Store is empty; make it with OpenSQLite, NewSQLite or NewPostgres", dedupe.ErrInvalid)

func (s *Store) empty() bool { return s == nil || s.engine == nil }

// TTL implements [dedupe.Store]. It is zero for a Store that no constructor made.
func (s *Store) TTL() time.Duration {
	if s.empty() {
		return 0
	}
	return s.config.ttl
}

// Claim implements [dedupe.Store]. With PostgreSQL it never waits for a transaction that completes the claim, see
// [Store.InTx]: if the lease ends before such a transaction does, the answer stays in flight, with a RetryAfter of a second.
func (s *Store) Claim(ctx context.Context, key dedupe.Key, lease time.Duration) (dedupe.Claim, error) {
	if key == (dedupe.Key{}) {
		return dedupe.Claim{}, fmt.Errorf("%w: sqldedupe: Claim: the zero Key; make one with dedupe.NewKey", dedupe.ErrInvalid)
	}
	if lease <= 0 {
		return dedupe.Claim{}, fmt.Errorf("%w: sqldedupe: Claim: a lease of %v; it must be greater than zero", dedupe.ErrInvalid, lease)
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
			// After an error the row may be there all the same.
			defer func() { s.room.settle(a.token > 0 || err != nil) }()
		}
	}
	err = s.engine.auto(ctx, s.db, func(r runner) error {
		a, err = s.engine.claim(ctx, r, key, s.engine.units(lease), s.ttl)
		return err
	})
	return a, err
}

// Renew implements [dedupe.Store]. It waits for a transaction of the same claim that has completed it and has not ended.
func (s *Store) Renew(ctx context.Context, c dedupe.Claim, lease time.Duration) error {
	if lease <= 0 {
		return fmt.Errorf("%w: sqldedupe: Renew: a lease of %v; it must be greater than zero", dedupe.ErrInvalid, lease)
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

// Complete implements [dedupe.Store]. Without a bound's ErrFull: a delivery that has been handled is remembered whatever
// [WithCapacity] says, as long as the disk has room.
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

// complete returns ErrCompleted if the same claim has completed the key before.
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
		// The row has been pruned, so nobody holds the key.
		if done, err := r.one(ctx, &s.stmts.completeNew, args, &one); err != nil || done {
			return err
		}
	}
	// Each time another held the key, and had given it up when we looked.
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

// owns refuses what gives no rights.
func (s *Store) owns(ctx context.Context, operation string, c dedupe.Claim) error {
	if c.State != dedupe.Claimed || c.Token <= 0 || c.Key == (dedupe.Key{}) {
		return fmt.Errorf("%w: sqldedupe: %s: the claim (%v) gives no rights; use one that Claim answered as claimed", dedupe.ErrInvalid, operation, c.State)
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
	return ctx.Err()
}

// ceil is d in units, rounded up: a lease must not end before it was asked to.
func ceil(d, unit time.Duration) int64 {
	n := int64(d / unit)
	if d%unit > 0 {
		n++
	}
	return n
}
