package deployments

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Timeline reads the deployments of one service and environment in the order of
// [Position.Compare], for pages that people look at. The ledgers of this module
// implement it. Its cost does not grow with the number of records.
//
// The interface is frozen: it gets no further method.
type Timeline interface {
	// Live returns the deployment that was live at the given time. It is the
	// last one that had succeeded and was not rolled back by then. The error
	// wraps [ErrNotRecorded] if it was not recorded.
	Live(ctx context.Context, organization string, s Scope, at time.Time) (*Record, error)
	// Latest returns a page of the records of a scope, newest first, in
	// descending order of their positions.
	Latest(ctx context.Context, organization string, s Scope, p Page) (Records, error)
}

// Place is for ledgers, as [Page.Bounds] is, for [Timeline.Latest]. All of the
// page's records are before the returned position. An invalid page is an error
// that wraps [ErrInvalid].
func (p Page) Place(s Scope) (limit int, before Position, err error) {
	before = Position{Service: s.Service, Environment: s.Environment, At: math.MaxInt64}
	cursor := p.Cursor
	p.Cursor = ""
	if limit, _, err = p.Bounds(); err != nil || cursor == "" {
		return limit, before, err
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		at, id, found := strings.Cut(string(text), " ")
		before.At, err = strconv.ParseInt(at, 10, 64)
		if before.DeploymentID = id; !found || id == "" {
			err = ErrInvalid
		}
	}
	if err != nil {
		return 0, Position{}, fmt.Errorf("%w: Page.Cursor: not a cursor returned by this list", ErrInvalid)
	}
	return limit, before, nil
}

// Timeline is for ledgers, as [Page.Records] is, for [Timeline.Latest].
func (p Page) Timeline(found []Record) (Records, error) {
	p.Cursor = ""
	limit, _, err := p.Bounds()
	if err != nil {
		return Records{}, err
	}
	if len(found) <= limit {
		return Records{Items: found}, nil
	}
	last := found[limit-1].Position()
	text := strconv.FormatInt(last.At, 10) + " " + last.DeploymentID
	return Records{Items: found[:limit], Next: base64.RawURLEncoding.EncodeToString([]byte(text))}, nil
}
