package inbox

import (
	"encoding/base64"
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

// Page selects a part of a list. Lists come newest first.
type Page struct {
	// Limit is the number of items on a page. Zero means 50
	// ([DefaultPageLimit]). A negative one and more than 500 ([MaxPageLimit]) are
	// errors.
	Limit int
	// Cursor is the Next of the previous page. Empty means the first page.
	// No item is repeated or missed because deliveries are stored or deleted
	// between two calls.
	Cursor string
}

// Deliveries is a page of deliveries, without their bodies.
type Deliveries struct {
	Items []Delivery
	// Next is the cursor of the next page. It is empty on the last.
	Next string
}

// bounds returns the page's limit, and the ID that all of its deliveries are
// below.
func (p Page) bounds() (limit int, before int64, err error) {
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

// pageOf makes a page of up to one delivery more than limit.
func pageOf(found []Delivery, limit int) Deliveries {
	if len(found) <= limit {
		return Deliveries{Items: found}
	}
	last := strconv.FormatInt(found[limit-1].ID, 10)
	return Deliveries{Items: found[:limit], Next: base64.RawURLEncoding.EncodeToString([]byte(last))}
}
