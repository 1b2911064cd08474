package inbox

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
)

const (
	// maxDeadError is the maximum length in bytes of an error that dead letters
	// are grouped by.
	maxDeadError = 200
	// latestDead is how many dead letters are searched for errors.
	latestDead = 1000
	// MaxDeadErrors is the largest number of errors that [Inbox.DeadErrors]
	// returns.
	MaxDeadErrors = 20
	// maxOfError bounds the dead letters that are counted for each error.
	maxOfError = 1000
)

// Count is a number of deliveries that is not counted beyond a limit.
type Count struct {
	N int
	// More reports that there are more than N.
	More bool
}

// String returns the number, such as "7" or "more than 1000".
func (c Count) String() string {
	if c.More {
		return fmt.Sprintf("more than %d", c.N)
	}
	return fmt.Sprint(c.N)
}

// DeadError is an error that dead letters have in common.
type DeadError struct {
	// Error is the first line of [Delivery].LastError, up to 200 bytes. Use it
	// as [Filter].Error.
	Error string
	// Deliveries is the number of dead letters with the error. They are not
	// counted beyond 1000.
	Deliveries Count
	// LatestID is the dead letter with the error that was stored last. It was
	// received at LatestAt.
	LatestID int64
	LatestAt time.Time
}

// deadError returns the text that a result's dead letter is grouped by. It is
// empty for other results.
func deadError(result Result) string {
	if result.State != Dead {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(errorText(result.Err)), "\n")
	if len(line) > maxDeadError {
		end := maxDeadError
		for !utf8.RuneStart(line[end]) {
			end--
		}
		line = line[:end]
	}
	return cmp.Or(strings.TrimSpace(line), "an error without a text")
}

// DeadErrors returns the errors of the 1000 dead letters that were stored last,
// the most frequent first, at most [MaxDeadErrors]. Its cost does not grow with
// the number of deliveries.
func (in *Inbox) DeadErrors(ctx context.Context) ([]DeadError, error) {
	if err := in.open(); err != nil {
		return nil, err
	}
	all, err := jobdb.Collect(ctx, in.db.Reader(), scanDeadError, deadErrors, maxOfError+1, latestDead, MaxDeadErrors)
	if err != nil {
		return nil, fmt.Errorf("inbox: DeadErrors: %w", err)
	}
	return all, nil
}

// deadErrors finds the errors of the latest dead letters. The index on
// dead_error answers the rest.
const deadErrors = `SELECT g.dead_error, g.n, g.latest, (SELECT received_at FROM {schema}inbox_delivery WHERE id = g.latest) FROM (
	SELECT e.dead_error, e.share,
		(SELECT count(*) FROM (SELECT 1 FROM {schema}inbox_delivery d WHERE d.state = 'dead' AND d.dead_error = e.dead_error LIMIT ?) AS counted) AS n,
		(SELECT d.id FROM {schema}inbox_delivery d WHERE d.state = 'dead' AND d.dead_error = e.dead_error ORDER BY d.id DESC LIMIT 1) AS latest
	FROM (SELECT dead_error, count(*) AS share FROM (
		SELECT dead_error FROM {schema}inbox_delivery WHERE state = 'dead' ORDER BY id DESC LIMIT ?) AS sample
		GROUP BY dead_error ORDER BY count(*) DESC, dead_error LIMIT ?) AS e
	) AS g ORDER BY g.share DESC, g.dead_error`

func scanDeadError(row jobdb.Row) (e DeadError, err error) {
	var at int64
	err = row.Scan(&e.Error, &e.Deliveries.N, &e.LatestID, &at)
	e.LatestAt, e.Deliveries = sqldb.Time(at), e.Deliveries.upTo(maxOfError)
	return e, err
}

// upTo cuts a count of one more than the limit.
func (c Count) upTo(limit int) Count { return Count{N: min(c.N, limit), More: c.N > limit} }

// CountDead counts the dead letters that f selects, up to [MaxDead]. It ignores
// the State of f. [Inbox.ReplayDead] with the same filter replays them.
func (in *Inbox) CountDead(ctx context.Context, f Filter) (Count, error) {
	if err := in.open(); err != nil {
		return Count{}, err
	}
	n, err := in.countDead(ctx, f, MaxDead)
	if err != nil {
		return Count{}, fmt.Errorf("inbox: CountDead: %w", err)
	}
	return n, nil
}

func (in *Inbox) countDead(ctx context.Context, f Filter, limit int) (c Count, err error) {
	f.State = Dead
	where, args := f.where()
	err = in.db.Reader().QueryRow(ctx, "SELECT count(*) FROM (SELECT 1 FROM {schema}inbox_delivery WHERE "+where+" LIMIT ?) AS counted",
		append(args, limit+1)...).Scan(&c.N)
	return c.upTo(limit), err
}
