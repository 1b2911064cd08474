package ledgertest

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// concurrencyChecks test concurrent calls, half of them through the other
// instance.
func concurrencyChecks() []check {
	return []check{
		{"one of many copies creates the record", oneCreates},
		{"a newer status wins over concurrent older ones", newerWins},
		{"deployments recorded together follow each other", together},
		{"organizations at the same time", organizations},
	}
}

// callers is the number of concurrent calls.
const callers = 32

// atOnce calls f n times from many goroutines. f must not use require, which
// only works on the test's goroutine.
func (e *env) atOnce(n int, f func(i int, l Ledger) error) {
	e.Helper()
	var wg sync.WaitGroup
	var next atomic.Int64
	var failed sync.Map
	for range min(n, callers) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				l := e.ledger
				if i%2 == 1 {
					l = e.other
				}
				if err := f(i, l); err != nil {
					failed.Store(i, err)
				}
			}
		})
	}
	wg.Wait()
	failed.Range(func(i, err any) bool {
		e.Errorf("call %v: %v", i, err)
		return false
	})
}

func oneCreates(e *env) {
	var created atomic.Int64
	e.atOnce(e.copies, func(_ int, l Ledger) error {
		r, err := l.Record(e.ctx, e.org, success("a", 'a', 0, 5))
		switch {
		case err != nil:
			return err
		case r.ID != 1:
			return fmt.Errorf("record %d, want 1: one deployment has one record", r.ID)
		case r.Created:
			created.Add(1)
		}
		return nil
	})
	require.EqualValues(e, 1, created.Load(), "exactly one call creates the record")
	all, err := e.ledger.List(e.ctx, e.org, deployments.Filter{}, deployments.Page{})
	require.NoError(e, err)
	require.Len(e, all.Items, 1)
}

func newerWins(e *env) {
	order := []payload.Status{payload.StatusPending, payload.StatusInProgress, payload.StatusSuccess, payload.StatusRolledBack}
	n := e.copies / 10
	e.atOnce(n, func(i int, l Ledger) error {
		d := deployment("a", order[i%len(order)], commit('a'), 0, 5)
		err := d.Extra.Set(fmt.Sprint("x", i), i)
		if err != nil {
			return err
		}
		r, err := l.Record(e.ctx, e.org, d)
		if err == nil && d.Status == payload.StatusRolledBack && r.Stale {
			return fmt.Errorf("the newest status was wrongly stale")
		}
		return err
	})
	d := e.get("a").Deployment
	require.Equal(e, payload.StatusRolledBack, d.Status)
	for i := 3; i < n; i += len(order) {
		_, ok := d.Extra.Get(fmt.Sprint("x", i))
		require.True(e, ok, "update %d was lost: two updates read the same record, and the second overwrote the first", i)
	}
}

func together(e *env) {
	n := min(e.copies/10, 60)
	e.atOnce(n, func(i int, l Ledger) error {
		// Record in another order than that of completion.
		at := i * 37 % n
		_, err := l.Record(e.ctx, e.org, success(fmt.Sprint(at), byte(at), at, at+1))
		return err
	})
	e.previous("0", "", "")
	for i := 1; i < n; i++ {
		e.previous(fmt.Sprint(i), commit(byte(i-1)), fmt.Sprintf("deployment %d follows %d, regardless of the order in which they were recorded", i, i-1))
	}
}

func organizations(e *env) {
	const orgs = 10
	n := e.copies / 4
	e.atOnce(n, func(i int, l Ledger) error {
		_, err := l.Record(e.ctx, fmt.Sprint(e.org, i%orgs), success(fmt.Sprint(i), 'a', i, i+1))
		return err
	})
	for o := range orgs {
		all, err := e.ledger.List(e.ctx, fmt.Sprint(e.org, o), deployments.Filter{}, deployments.Page{Limit: deployments.MaxPageLimit})
		require.NoError(e, err)
		for i, r := range all.Items {
			require.EqualValues(e, len(all.Items)-i, r.ID, "numbers have no gaps")
		}
	}
}
