package deployments

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
)

const (
	// DefaultPageLimit is the number of items on a page without a limit.
	DefaultPageLimit = 50
	// MaxPageLimit is the largest number of items on a page.
	MaxPageLimit = 500
)

// ErrInvalid is wrapped by the error for a [Page] that no list returned, and
// for a [Filter] with an unknown status.
var ErrInvalid = errors.New("deployments: invalid")

// Page selects a part of a list. Lists come newest first.
type Page struct {
	// Limit is the number of items on a page. Zero means 50
	// ([DefaultPageLimit]). A negative one and more than 500 ([MaxPageLimit]) are
	// errors.
	Limit int
	// Cursor is the Next of the previous page. Empty means the first page.
	// No item is repeated or missed because records are created between two
	// calls.
	Cursor string
}

// Records is a page of records.
type Records struct {
	Items []Record
	// Next is the cursor of the next page. It is empty on the last.
	Next string
}

// Bounds is for ledgers. It returns the page's limit, and the ID that all of
// its records are below. An invalid page is an error that wraps [ErrInvalid].
func (p Page) Bounds() (limit int, before int64, err error) {
	limit, before = p.Limit, math.MaxInt64
	if limit == 0 {
		limit = DefaultPageLimit
	}
	if limit < 0 || limit > MaxPageLimit {
		return 0, 0, fmt.Errorf("%w: Page.Limit: %d: want 1 to %d, or 0 for %d", ErrInvalid, p.Limit, MaxPageLimit, DefaultPageLimit)
	}
	if p.Cursor == "" {
		return limit, before, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err == nil {
		before, err = strconv.ParseInt(string(text), 10, 64)
	}
	if err != nil || before < 1 {
		return 0, 0, fmt.Errorf("%w: Page.Cursor: not a cursor returned by this list", ErrInvalid)
	}
	return limit, before, nil
}

// Records is for ledgers. It makes the page of the records that were found,
// newest first. A ledger looks for one more than the limit. The last one only
// tells that there is a next page.
func (p Page) Records(found []Record) (Records, error) {
	limit, _, err := p.Bounds()
	if err != nil {
		return Records{}, err
	}
	if len(found) <= limit {
		return Records{Items: found}, nil
	}
	last := strconv.FormatInt(found[limit-1].ID, 10)
	return Records{Items: found[:limit], Next: base64.RawURLEncoding.EncodeToString([]byte(last))}, nil
}
