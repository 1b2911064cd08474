package recovery

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

// gitHub reads the delivery logs of GitHub Apps, organizations and
// repositories. All three have the same shape
// (github.com/github/rest-api-description, /app/hook/deliveries,
// /orgs/{org}/hooks/{hook_id}/deliveries and
// /repos/{owner}/{repo}/hooks/{hook_id}/deliveries).
type gitHub struct{}

func (gitHub) api() string { return "https://api.github.com" }

func (gitHub) header(set func(name, value string)) {
	set("Accept", "application/vnd.github+json")
	set("X-GitHub-Api-Version", "2022-11-28")
}

// A page has about 400 bytes for each entry. GitHub asks to "wait at least one
// second between each request" that changes something
// (docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api).
// It does not disable webhooks that fail, and does not tell how an attempt
// ended.
func (gitHub) limits() limits { return limits{page: 4 << 20, pace: time.Second} }

// first asks for the largest page: "The number of results per page (max 100)".
func (gitHub) first() string { return "per_page=100" }

func (gitHub) ask(id int64) string { return "/" + strconv.FormatInt(id, 10) + "/attempts" }

// gitHubEntry is the schema hook-delivery-item.
type gitHubEntry struct {
	ID          int64     `json:"id"`
	GUID        string    `json:"guid"`
	DeliveredAt time.Time `json:"delivered_at"`
	Status      string    `json:"status"`
	StatusCode  int       `json:"status_code"`
	Event       string    `json:"event"`
	Action      string    `json:"action"`
	ThrottledAt time.Time `json:"throttled_at"`
}

func (p gitHub) page(a *answer, query string) ([]entry, string, error) {
	var list []gitHubEntry
	if err := json.Unmarshal(a.body, &list); err != nil {
		return nil, "", fmt.Errorf("%w: the page is not a list of deliveries: %w", ErrAPI, err)
	}
	entries := make([]entry, len(list))
	for i, e := range list {
		if e.ID <= 0 || e.GUID == "" || e.DeliveredAt.IsZero() {
			return nil, "", fmt.Errorf("%w: a delivery has no id, guid or delivered_at", ErrAPI)
		}
		entries[i] = e.entry()
	}
	next, err := p.next(a.header, query)
	return entries, next, err
}

func (e *gitHubEntry) entry() entry {
	accepted := e.StatusCode >= 200 && e.StatusCode <= 299
	// A delivery that GitHub has throttled is sent later.
	open := e.StatusCode == 0 && (!e.ThrottledAt.IsZero() || e.Status == "" || e.Status == "pending")
	status := e.Status
	if e.StatusCode != 0 {
		status = fmt.Sprintf("%d %s", e.StatusCode, e.Status)
	}
	return entry{id: e.ID, key: e.GUID, at: e.DeliveredAt, accepted: accepted, open: open, status: status, event: e.Event, action: e.Action}
}

var nextLink = regexp.MustCompile(`<([^<>]*)>\s*;[^<]*\brel="?next\b`)

// next takes the cursor from the Link header ("Refer to the link header for the
// next and previous page cursors"). Nothing else of the link is used, so that
// no answer can lead the token to another place.
func (p gitHub) next(h http.Header, query string) (string, error) {
	link := nextLink.FindStringSubmatch(h.Get("Link"))
	if link == nil {
		return "", nil
	}
	u, err := url.Parse(link[1])
	if err != nil {
		return "", fmt.Errorf("%w: the Link header is not a URL: %w", ErrAPI, err)
	}
	cursor := u.Query().Get("cursor")
	if cursor == "" {
		return "", fmt.Errorf("%w: the next page in the Link header has no cursor", ErrAPI)
	}
	next := p.first() + "&cursor=" + url.QueryEscape(cursor)
	if next == query {
		return "", fmt.Errorf("%w: the next page in the Link header is the same page", ErrAPI)
	}
	return next, nil
}

// asked reads the answer to POST …/attempts. GitHub accepts it with 202 and
// sends the delivery later, with the GUID and the bytes of the original ("the
// X-GitHub-Delivery header will be the same as in the original delivery",
// docs.github.com/webhooks/using-webhooks/best-practices-for-using-webhooks).
func (gitHub) asked(*answer) (Outcome, string) { return Asked, "" }
