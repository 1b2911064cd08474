package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// Dead letters are grouped by the first line of their error, and those with one
// error can be listed, counted and replayed.
func TestDeadErrors(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		ctx := t.Context()
		long := strings.Repeat("é", 150)
		fails := map[string]string{"dep_1": "no such app\nand more", "dep_2": "no such app\nand other", "dep_3": long, "dep_4": " \n"}
		var fixed atomic.Bool
		in := open(func(_ context.Context, e *payload.Event) error {
			if text, bad := fails[e.DeploymentID]; bad && !fixed.Load() {
				return inbox.Permanent(errors.New(text))
			}
			return nil
		})
		none, err := in.DeadErrors(ctx)
		require.NoError(t, err)
		require.Empty(t, none)
		d := newEndpoint(t, in, "platform")
		for i := range 6 {
			d.accept(started(i))
		}
		start(t, in)
		reaches(t, in, inbox.Stats{Handled: 2, Dead: 4})

		all, err := in.DeadErrors(ctx)
		require.NoError(t, err)
		require.Len(t, all, 3)
		require.Equal(t, "no such app", all[0].Error)
		require.Equal(t, inbox.Count{N: 2}, all[0].Deliveries)
		latest, err := in.Get(ctx, all[0].LatestID)
		require.NoError(t, err)
		require.Equal(t, "dep_2", latest.DeploymentID)
		require.Equal(t, latest.ReceivedAt, all[0].LatestAt)
		require.Contains(t, fmt.Sprint(all[1], all[2]), "an error without a text")
		require.Contains(t, fmt.Sprint(all[1], all[2]), "{"+long[:200]+" 1 ")

		list, err := in.List(ctx, inbox.Filter{Error: "no such app"}, inbox.Page{})
		require.NoError(t, err)
		require.Len(t, list.Items, 2)
		count, err := in.CountDead(ctx, inbox.Filter{Error: "no such app", DeploymentID: "dep_1", State: inbox.Handled})
		require.NoError(t, err)
		require.Equal(t, "1", count.String())

		fixed.Store(true)
		n, err := in.ReplayDead(ctx, inbox.Filter{Error: "no such app"})
		require.NoError(t, err)
		require.Equal(t, 2, n)
		reaches(t, in, inbox.Stats{Handled: 4, Dead: 2})
		all, err = in.DeadErrors(ctx)
		require.NoError(t, err)
		require.Len(t, all, 2)
	})
}

// A delivery that failed says when it is tried again, until it is handled.
func TestDelivery_RetryAt(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		in := open(func(context.Context, *payload.Event) error { return errors.New("not yet") },
			inbox.WithRetrySchedule(func() backoff.BackOff { return backoff.NewConstantBackOff(time.Hour) }))
		newEndpoint(t, in, "platform").accept(started(1))
		require.Zero(t, only(t, in).RetryAt)
		start(t, in)
		require.Eventually(t, func() bool { return only(t, in).Attempts == 1 }, patience, often)
		require.WithinDuration(t, time.Now().Add(time.Hour), only(t, in).RetryAt, patience)
	})
}

// Lists and counts of dead letters read an index, which has the order.
func TestDead_Plans(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		in := open(func(context.Context, *payload.Event) error { return nil })
		in.Fill(t.Context(), 20_000)
		for index, f := range map[string]inbox.Filter{
			"inbox_delivery_dead":       {State: inbox.Dead, Error: "error 7"},
			"inbox_delivery_state":      {State: inbox.Dead},
			"inbox_delivery_deployment": {DeploymentID: "dep_7"},
		} {
			plan := in.Plan(t.Context(), f)
			require.Contains(t, plan, index)
			require.NotContains(t, plan, "Sort")
			require.NotContains(t, plan, "TEMP B-TREE")
		}
	})
}

// A count that stops says so.
func TestCount(t *testing.T) {
	t.Parallel()
	require.Equal(t, "7", inbox.Count{N: 7}.String())
	require.Equal(t, "more than 1000", inbox.Count{N: 1000, More: true}.String())
}
