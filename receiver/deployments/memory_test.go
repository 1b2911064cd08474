package deployments_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/ledgertest"
)

func newLedger(t testing.TB, opts ...deployments.MemoryLedgerOption) *deployments.MemoryLedger {
	t.Helper()
	l, err := deployments.NewMemoryLedger(opts...)
	require.NoError(t, err)
	return l
}

func TestMemoryLedger(t *testing.T) {
	t.Parallel()
	ledgertest.Run(t, ledgertest.Config{New: func(t testing.TB) ledgertest.Ledger { return newLedger(t) }})
}

func testDeployment(id string, status payload.Status) *payload.Deployment {
	start := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	d := &payload.Deployment{
		DeploymentID: id, CommitSHA: "a1b2c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2", Environment: "production", Service: "api",
		Status: status, StartedAt: start,
	}
	if status.Terminal() {
		d.CompletedAt = start.Add(5 * time.Minute)
	}
	return d
}

// A full ledger refuses new and growing records, and removes none.
func TestMemoryLedger_FullRefusesAndKeeps(t *testing.T) {
	t.Parallel()
	l := newLedger(t, deployments.WithLedgerBytes(16<<10))
	recorded := 0
	for {
		_, err := l.Record(t.Context(), "acme", testDeployment(fmt.Sprint(recorded), payload.StatusInProgress))
		if errors.Is(err, deployments.ErrLedgerFull) {
			break
		}
		require.NoError(t, err)
		require.Less(t, recorded, 1000)
		recorded++
	}
	require.Greater(t, recorded, 10)
	_, err := l.Record(t.Context(), "another", testDeployment("0", payload.StatusInProgress))
	require.ErrorIs(t, err, deployments.ErrLedgerFull)
	require.ErrorContains(t, err, "WithLedgerBytes")

	for range 100 {
		grown := testDeployment("0", payload.StatusInProgress)
		require.NoError(t, grown.Extra.Set("x", strings.Repeat("x", 16<<10)))
		_, err = l.Record(t.Context(), "acme", grown)
		require.ErrorIs(t, err, deployments.ErrLedgerFull)
	}
	first, err := l.Get(t.Context(), "acme", "0")
	require.NoError(t, err)
	require.True(t, first.Deployment.Extra.IsZero(), "a refused update changes nothing")
	all := 0
	for p := (deployments.Page{}); ; {
		page, err := l.List(t.Context(), "acme", deployments.Filter{}, p)
		require.NoError(t, err)
		all += len(page.Items)
		if p.Cursor = page.Next; p.Cursor == "" {
			break
		}
	}
	require.Equal(t, recorded, all)
}

// Many small updates cannot exceed the bound either.
func TestMemoryLedger_UpdatesAreBounded(t *testing.T) {
	t.Parallel()
	l := newLedger(t, deployments.WithLedgerBytes(8<<10))
	for i := range 10_000 {
		d := testDeployment("0", payload.StatusInProgress)
		require.NoError(t, d.Extra.Set(fmt.Sprintf("x%d", i), "0123456789"))
		if _, err := l.Record(t.Context(), "acme", d); err != nil {
			require.ErrorIs(t, err, deployments.ErrLedgerFull)
			require.Less(t, i, 1000)
			return
		}
	}
	t.Fatal("the bound was never reached")
}

// Changing a returned value does not change the record.
func TestMemoryLedgerSharesNothing(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	d := testDeployment("a", payload.StatusSuccess)
	r, err := l.Record(t.Context(), "acme", d)
	require.NoError(t, err)
	d.CommitSHA, r.Deployment.CommitSHA = "00000", "11111"
	got, err := l.Get(t.Context(), "acme", "a")
	require.NoError(t, err)
	require.Equal(t, testDeployment("a", payload.StatusSuccess), got.Deployment)
}

func TestMemoryLedgerConfiguration(t *testing.T) {
	t.Parallel()
	for _, bytes := range []int64{-1, 0, 1, 4095} {
		_, err := deployments.NewMemoryLedger(deployments.WithLedgerBytes(bytes))
		require.ErrorIs(t, err, deployments.ErrConfig)
		require.ErrorContains(t, err, fmt.Sprintf("WithLedgerBytes(%d)", bytes))
	}
	_, err := deployments.NewMemoryLedger(nil)
	require.ErrorIs(t, err, deployments.ErrConfig)
}

// fits returns how many records of the same form fit into a ledger of room
// bytes.
func fits(t *testing.T, room int64, organization, id func(i int) string) (n int) {
	t.Helper()
	l := newLedger(t, deployments.WithLedgerBytes(room))
	for {
		_, err := l.Record(t.Context(), organization(n), testDeployment(id(n), payload.StatusInProgress))
		if errors.Is(err, deployments.ErrLedgerFull) {
			return n
		}
		require.NoError(t, err)
		n++
	}
}

// A record counts with its document and its report plus 1024 bytes, and an
// organization with its name plus 1024 bytes.
func TestMemoryLedgerCountsEachRecord(t *testing.T) {
	t.Parallel()
	const room, overhead = 64 << 10, 1024
	text, err := testDeployment("0000", payload.StatusInProgress).Encode()
	require.NoError(t, err)
	record := 2*len(text) + len("[]") + overhead
	numbered := func(width int) func(int) string {
		return func(i int) string { return fmt.Sprintf("%0*d", width, i) }
	}
	always := func(text string) func(int) string { return func(int) string { return text } }

	one := fits(t, room, always("acme"), numbered(4))
	require.Equal(t, (room-len("acme")-overhead)/record, one, "records of one organization")
	many := fits(t, room, numbered(200), always("0000"))
	require.Equal(t, room/(record+overhead+200), many, "organizations with a record each")
}

// A late record fills in a later record's previous commit. That commit is
// already stored, so a full ledger does not refuse it.
func TestMemoryLedger_FullFillsInCommits(t *testing.T) {
	t.Parallel()
	later := testDeployment("later", payload.StatusSuccess)
	later.StartedAt = later.StartedAt.Add(time.Hour)
	later.CompletedAt = later.CompletedAt.Add(time.Hour)
	require.NoError(t, later.Extra.Set("pad", strings.Repeat("x", 4096)))
	earlier := testDeployment("first", payload.StatusSuccess)
	// least returns the size of the smallest ledger that holds both records,
	// and the ledger.
	least := func(earlier *payload.Deployment) (int64, *deployments.MemoryLedger) {
		for room := int64(4096); ; room++ {
			l := newLedger(t, deployments.WithLedgerBytes(room))
			if _, err := l.Record(t.Context(), "acme", later); err != nil {
				continue
			}
			if _, err := l.Record(t.Context(), "acme", earlier); err == nil {
				return room, l
			}
		}
	}
	elsewhere := *earlier
	elsewhere.Environment = "production"[:9] + "x" // equally long, and followed by no record
	apart, _ := least(&elsewhere)
	room, l := least(earlier)
	require.Equal(t, apart, room)
	r, err := l.Get(t.Context(), "acme", "later")
	require.NoError(t, err)
	require.Equal(t, earlier.CommitSHA, r.Deployment.PreviousCommitSHA)
}
