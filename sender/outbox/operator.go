package outbox

import (
	"context"

	"github.com/deployhook/deployhook/internal/jobdb"
)

const endpointPrefix = "ep_"

// Replays returns the replays of all apps, newest first. It is for the
// operator. It reads as [App.Replays] does.
func (o *Outbox) Replays(ctx context.Context, p Page) (Replays, error) {
	if err := o.open(); err != nil {
		return Replays{}, err
	}
	return o.replayer.list(ctx, "", nil, p)
}

// list returns a page of the replays that meet a condition, which may be empty.
func (r *replayer) list(ctx context.Context, condition string, args []any, p Page) (page Replays, err error) {
	limit, before, err := p.parse(replayPrefix)
	if err != nil {
		return page, err
	}
	where := `1 = 1`
	if condition != "" {
		where = condition
	}
	if before != "" {
		where, args = where+` AND id < ?`, append(args, before)
	}
	rows, err := jobdb.Collect(ctx, r.db.Reader(), scanReplay,
		`SELECT `+replayColumns+` FROM {schema}outbox_replay WHERE `+where+` ORDER BY id DESC LIMIT ?`, append(args, int64(limit+1))...)
	if err != nil {
		return page, wrap("reading replays", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		page.Next = cursor(rows[limit-1].id)
	}
	page.Items, err = r.statuses(ctx, rows, maxListedCount)
	return page, err
}

// EndpointFilter selects endpoints of all apps.
type EndpointFilter struct {
	// State is their state. Empty means all states.
	State EndpointState
	// Held selects the endpoints whose circuit breaker is not closed, and which
	// are not disabled. Those that wait longest come first. There is one page of
	// them, and State must be empty.
	Held bool
}

// EndpointPage is a page of endpoints.
type EndpointPage struct {
	Items []OwnedEndpoint
	// Next is the cursor of the next page. It is empty on the last.
	Next string
}

// OwnedEndpoint is an endpoint in the operator's list.
type OwnedEndpoint struct {
	Endpoint

	// FirstError is the first error since FailingSince. It is for the operator,
	// since it can have internal addresses. It is empty if FailingSince is zero.
	FirstError string
}

// Endpoints returns the endpoints of all apps in the order of their creation.
// It is for the operator. What it reads does not grow with the table.
func (o *Outbox) Endpoints(ctx context.Context, f EndpointFilter, p Page) (page EndpointPage, err error) {
	if err := o.open(); err != nil {
		return page, err
	}
	limit, after, err := p.parse(endpointPrefix)
	if err != nil {
		return page, err
	}
	where, order, args := `id > ?`, `id`, []any{after}
	switch f.State {
	case "":
	case EndpointActive, EndpointFailing, EndpointDisabled:
		where, args = `state = ? AND id > ?`, []any{string(f.State), after}
	default:
		return page, fieldError("EndpointFilter.State", "has an unknown state")
	}
	if f.Held {
		if f.State != "" || p.Cursor != "" {
			return page, fieldError("EndpointFilter.Held", "it has no states and no later pages")
		}
		where, order, args = `breaker_open_until > 0 AND state <> 'disabled'`, `breaker_open_until DESC`, nil
	}
	page.Items, err = jobdb.Collect(ctx, o.db.Reader(), scanOwned,
		`SELECT `+endpointColumns+`, first_error FROM {schema}outbox_endpoint WHERE `+where+` ORDER BY `+order+` LIMIT ?`, append(args, int64(limit+1))...)
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		if !f.Held {
			page.Next = cursor(page.Items[limit-1].ID)
		}
	}
	return page, wrap("reading endpoints", err)
}

func scanOwned(r jobdb.Row) (o OwnedEndpoint, err error) {
	e, _, err := scanEndpoint(r, &o.FirstError)
	if err != nil {
		return o, err
	}
	if o.Endpoint = e.visible(); o.FailingSince.IsZero() {
		o.FirstError = ""
	}
	return o, nil
}
