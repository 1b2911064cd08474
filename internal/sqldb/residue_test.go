package sqldb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// scrubbed is a table of rows with texts that no other row has.
type scrubbed struct {
	db    *sqldb.DB
	path  string
	rand  *rand.Rand
	next  int
	live  []int
	check map[int][]byte // the body of each row
}

func (s *scrubbed) name(n int) string { return fmt.Sprintf("%04x canary<%08d>", uint16(n*40503), n) }

func (s *scrubbed) body(n int) []byte {
	size := 20 + s.rand.IntN(900)
	if s.rand.IntN(10) == 0 {
		size = s.rand.IntN(20000)
	}
	return bytes.Repeat(fmt.Appendf(nil, "canary<%08d> ", n), size/17+1)
}

// change inserts, updates or deletes a row.
func (s *scrubbed) change(ctx context.Context, tx *sqldb.Tx) error {
	k := s.rand.IntN(10)
	if k < 5 || len(s.live) < 10 {
		s.next++
		s.live, s.check[s.next] = append(s.live, s.next), s.body(s.next)
		_, err := tx.Exec(ctx, "INSERT INTO {schema}thing (name, body, at, note) VALUES (?, ?, ?, ?)", s.name(s.next), s.check[s.next], s.next, s.name(s.next))
		return err
	}
	i := s.rand.IntN(len(s.live))
	n := s.live[i]
	if k < 7 {
		s.check[n] = s.body(n)
		_, err := tx.Exec(ctx, "UPDATE {schema}thing SET body = ?, note = note || 'y' WHERE at = ?", s.check[n], n)
		return err
	}
	s.live[i] = s.live[len(s.live)-1]
	s.live = s.live[:len(s.live)-1]
	delete(s.check, n)
	_, err := tx.Exec(ctx, "DELETE FROM {schema}thing WHERE at = ?", n)
	return err
}

var canaries = regexp.MustCompile(`canary<(\d{8})>`)

// residues counts the deleted rows of which something is in the file or its
// -wal file.
func (s *scrubbed) residues(t *testing.T) int {
	t.Helper()
	found := map[string]bool{}
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(s.path + suffix)
		require.NoError(t, err)
		for _, match := range canaries.FindAllSubmatch(data, -1) {
			n, err := strconv.Atoi(string(match[1]))
			require.NoError(t, err)
			if s.check[n] == nil {
				found[string(match[1])] = true
			}
		}
	}
	return len(found)
}

// requireIntact requires that the file is sound and has exactly the rows that
// were not deleted.
func (s *scrubbed) requireIntact(t *testing.T) {
	t.Helper()
	var verdict string
	require.NoError(t, s.db.QueryRow(t.Context(), "PRAGMA integrity_check").Scan(&verdict))
	require.Equal(t, "ok", verdict)
	rows := 0
	_, err := sqldb.Collect(t.Context(), s.db, func(r sqldb.Row) (n int, err error) {
		var body []byte
		err = r.Scan(&n, &body)
		assert.Equal(t, s.check[n], body)
		rows++
		return n, err
	}, "SELECT at, body FROM {schema}thing")
	require.NoError(t, err)
	require.Len(t, s.check, rows)
}

// TestScrub_LeavesNoCopies deletes rows that SQLite has moved between pages.
// secure_delete alone leaves copies of some.
func TestScrub_LeavesNoCopies(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		path := filepath.Join(t.TempDir(), "test.db")
		s := &scrubbed{db: openFile(t, path), path: path, rand: rand.New(rand.NewPCG(seed, 1)), check: map[int][]byte{}}
		_, err := s.db.Exec(t.Context(), "CREATE INDEX by_note ON thing (note)")
		require.NoError(t, err)
		for round := range 3 {
			for range 20 {
				require.NoError(t, s.db.InTx(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
					for range 100 {
						if err := s.change(ctx, tx); err != nil {
							return err
						}
					}
					return nil
				}))
			}
			require.NoError(t, s.db.Scrub(t.Context()))
			require.Zero(t, s.residues(t), "seed %d, round %d", seed, round)
			s.requireIntact(t)
		}
	}
}

// TestScrub_WhileOthersWrite must not harm what is written meanwhile.
func TestScrub_WhileOthersWrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	s := &scrubbed{db: openFile(t, path), path: path, rand: rand.New(rand.NewPCG(1, 2)), check: map[int][]byte{}}
	other := openFile(t, path)
	ctx, stop := context.WithCancel(t.Context())
	var scrubbing sync.WaitGroup
	defer scrubbing.Wait()
	defer stop()
	scrubbing.Go(func() {
		for ctx.Err() == nil {
			if err := other.Scrub(ctx); err != nil {
				assert.True(t, ctx.Err() != nil || sqldb.IsBusy(err) || errors.Is(err, sqldb.ErrInUse), err)
			}
		}
	})
	for range 300 {
		require.NoError(t, s.db.InTx(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			for range 10 {
				if err := s.change(ctx, tx); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	stop()
	scrubbing.Wait()
	s.requireIntact(t)
	require.NoError(t, s.db.Scrub(t.Context()))
	require.Zero(t, s.residues(t))
	s.requireIntact(t)
}
