package inbox

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/deployhook/deployhook/internal/riverdb"
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
	texts, err := riverdb.Collect(ctx, in.db.Reader(), func(row riverdb.Row) (text string, err error) { return text, row.Scan(&text) },
		`SELECT dead_error FROM (SELECT dead_error FROM {schema}inbox_delivery WHERE state = 'dead' ORDER BY id DESC LIMIT ?) AS latest
		GROUP BY dead_error ORDER BY count(*) DESC, dead_error LIMIT ?`, latestDead, MaxDeadErrors)
	if err != nil {
		return nil, fmt.Errorf("inbox: DeadErrors: %w", err)
	}
	all := make([]DeadError, 0, len(texts))
	for _, text := range texts {
		e, err := in.deadError(ctx, text)
		if err != nil {
			return nil, fmt.Errorf("inbox: DeadErrors: %w", err)
		}
		if e.Deliveries.N > 0 { // it was replayed meanwhile
			all = append(all, e)
		}
	}
	return all, nil
}

func (in *Inbox) deadError(ctx context.Context, text string) (e DeadError, err error) {
	e.Error = text
	if e.Deliveries, err = in.countDead(ctx, Filter{Error: text}, maxOfError); err != nil || e.Deliveries.N == 0 {
		return e, err
	}
	latest, err := riverdb.Collect(ctx, in.db.Reader(), func(row riverdb.Row) (struct{}, error) {
		var at int64
		err := row.Scan(&e.LatestID, &at)
		e.LatestAt = sqldb.Time(at)
		return struct{}{}, err
	}, "SELECT id, received_at FROM {schema}inbox_delivery WHERE state = 'dead' AND dead_error = ? ORDER BY id DESC LIMIT 1", text)
	if len(latest) == 0 {
		e.Deliveries = Count{}
	}
	return e, err
}

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
	c.More = c.N > limit
	c.N = min(c.N, limit)
	return c, err
}
