package recovery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// gitLab reads the logs of project and group webhooks
// (docs.gitlab.com/api/project_webhooks and
// docs.gitlab.com/api/group_webhooks). What those pages leave out is from
// gitlab-org/gitlab, in the files named below.
type gitLab struct{}

func (gitLab) api() string { return "https://gitlab.com/api/v4" }

func (gitLab) header(set func(name, value string)) { set("Accept", "application/json") }

// A page has 20 whole requests and answers. Asks have "a rate limit of five
// requests per minute". A webhook with four failures in a row is disabled for a
// while, and events of that time are lost
// (docs.gitlab.com/user/project/integrations/webhooks), so that a run stops
// before.
func (gitLab) limits() limits { return limits{page: 64 << 20, pace: 12 * time.Second, failures: 2} }

// gitLabPage is the longest page that GitLab permits (lib/api/hooks/events.rb).
const gitLabPage = 20

// first leaves out the filter "status", because successes are needed too.
func (gitLab) first() string { return "per_page=" + strconv.Itoa(gitLabPage) + "&page=1" }

func (gitLab) ask(id int64) string { return "/" + strconv.FormatInt(id, 10) + "/resend" }

// gitLabEntry is what lib/api/entities/web_hook_log.rb exposes. The
// documentation's example has no created_at, because it is new.
type gitLabEntry struct {
	ID      int64  `json:"id"`
	Trigger string `json:"trigger"`
	Headers struct {
		IdempotencyKey string `json:"Idempotency-Key"`
	} `json:"request_headers"`
	Data      oversize  `json:"request_data"`
	Status    string    `json:"response_status"`
	CreatedAt time.Time `json:"created_at"`
}

// oversize is true for a request whose body was too long for the log. GitLab
// stores {"oversize": true} in its place, and would send that
// (app/models/hooks/web_hook_log.rb).
type oversize bool

func (o *oversize) UnmarshalJSON(text []byte) error {
	var data struct {
		Oversize any `json:"oversize"`
	}
	*o = len(text) < 40 && json.Unmarshal(text, &data) == nil && data.Oversize == true
	return nil
}

func (p gitLab) page(a *answer, query string) ([]entry, string, error) {
	var list []gitLabEntry
	if err := json.Unmarshal(a.body, &list); err != nil {
		return nil, "", fmt.Errorf("%w: the page is not a list of webhook events: %w", ErrAPI, err)
	}
	entries := make([]entry, len(list))
	for i, e := range list {
		if e.ID <= 0 || e.Status == "" {
			return nil, "", fmt.Errorf("%w: a webhook event has no id or response_status", ErrAPI)
		}
		entries[i] = e.entry()
	}
	next, err := p.next(a.header, query, len(list))
	return entries, next, err
}

// entry groups by Idempotency-Key, which a resend keeps
// (app/services/web_hooks/events/resend_service.rb). It is also the webhook-id
// of signed requests.
func (e *gitLabEntry) entry() entry {
	accepted := len(e.Status) == 3 && e.Status[0] == '2'
	n := entry{id: e.ID, key: e.Headers.IdempotencyKey, at: e.CreatedAt, accepted: accepted, status: e.Status, event: e.Trigger}
	switch {
	case n.key == "":
		n.key = "entry " + strconv.FormatInt(e.ID, 10)
		n.unusable = "the log has no Idempotency-Key for it, so that its attempts can't be told; GitLab 17.4 or later has"
	case bool(e.Data):
		n.unusable = "GitLab did not store its body, because it was too long"
	}
	return n
}

// next returns the next page. New events move entries to later pages, so that
// some are read twice. The log has the newest first.
func (p gitLab) next(h http.Header, query string, entries int) (string, error) {
	_, text, _ := strings.Cut(query, "&page=")
	page, err := strconv.Atoi(text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrAPI, err)
	}
	switch next := h.Values("X-Next-Page"); {
	case len(next) == 0 && entries < gitLabPage, len(next) > 0 && next[0] == "":
		return "", nil
	case len(next) > 0 && next[0] != strconv.Itoa(page+1):
		return "", fmt.Errorf("%w: X-Next-Page is %.20q after page %d", ErrAPI, next[0], page)
	}
	return "per_page=" + strconv.Itoa(gitLabPage) + "&page=" + strconv.Itoa(page+1), nil
}

// asked reads the answer to POST …/resend. GitLab sends the request before it
// answers. It answers 201 with the receiver's status, or 422 if it got none or
// the webhook is disabled (lib/api/hooks/resend_hook.rb).
func (gitLab) asked(a *answer) (Outcome, string) {
	if a.status == http.StatusUnprocessableEntity {
		return Failed, "GitLab answered " + a.reason()
	}
	var told struct {
		Status json.RawMessage `json:"response_status"`
	}
	if json.Unmarshal(a.body, &told) != nil {
		return Unconfirmed, "GitLab's answer could not be read"
	}
	status := bytes.Trim(told.Status, `"`)
	if len(status) == 3 && status[0] == '2' {
		return Asked, ""
	}
	return Failed, fmt.Sprintf("the receiver answered %.20s", status)
}
