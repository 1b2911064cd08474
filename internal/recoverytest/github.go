package recoverytest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// GitHub is a fake of GitHub's REST API with one webhook. It is a handler and a
// transport.
type GitHub struct {
	Fake
	// Path is the path of the log, such as "/app/hook/deliveries".
	Path string
	// Secret is the webhook's secret.
	Secret string

	attempts []gitHubAttempt // with ascending IDs
	bodies   map[string][]byte
	tries    map[string]int
	accepted map[string]bool
}

// gitHubAttempt is the schema hook-delivery-item of GitHub's OpenAPI
// description.
type gitHubAttempt struct {
	ID             int64      `json:"id"`
	GUID           string     `json:"guid"`
	DeliveredAt    time.Time  `json:"delivered_at"`
	Redelivery     bool       `json:"redelivery"`
	Duration       float64    `json:"duration"`
	Status         string     `json:"status"`
	StatusCode     int        `json:"status_code"`
	Event          string     `json:"event"`
	Action         *string    `json:"action"`
	InstallationID *int64     `json:"installation_id"`
	RepositoryID   *int64     `json:"repository_id"`
	ThrottledAt    *time.Time `json:"throttled_at"`
}

// RoundTrip makes the fake a transport. A lost answer is an error.
func (g *GitHub) RoundTrip(r *http.Request) (*http.Response, error) { return roundTrip(g, r) }

// Publish lets an event happen, and returns the GUID of its delivery.
func (g *GitHub) Publish(way Way) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.publish(way)
}

func (g *GitHub) publish(way Way) string {
	if g.bodies == nil {
		g.bodies, g.tries, g.accepted, g.asked = map[string][]byte{}, map[string]int{}, map[string]bool{}, map[string]int{}
	}
	n := len(g.bodies) + 1
	guid := fmt.Sprintf("%08x-b361-11eb-836d-0e4f3503ccbe", n)
	g.bodies[guid] = fmt.Appendf(nil, `{"action":"created","deployment_status":{"id":%d,"state":"success"}}`, n)
	g.attempt(guid, way)
	return guid
}

// Events returns the number of events that happened.
func (g *GitHub) Events() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.bodies)
}

// attempt makes an attempt and adds it to the log.
func (g *GitHub) attempt(guid string, way Way) {
	body := g.bodies[guid]
	mac := hmac.New(sha256.New, []byte(g.Secret))
	mac.Write(body)
	g.tries[guid]++
	a := gitHubAttempt{
		ID: g.nextID(), GUID: guid, DeliveredAt: time.Now().UTC().Truncate(time.Second), Redelivery: g.tries[guid] > 1,
		Duration: 0.03, Event: "deployment_status", Action: new("created"),
	}
	a.StatusCode = g.send(way, http.Header{
		"Content-Type": {"application/json"}, "X-Github-Event": {"deployment_status"}, "X-Github-Delivery": {guid},
		"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))},
	}, body)
	switch {
	case a.StatusCode >= 200 && a.StatusCode <= 299:
		a.Status = "OK"
		g.accepted[guid] = true
	case way == TimedOut:
		a.Status = "timed out"
	case way == Throttled:
		a.Status, a.ThrottledAt = "", &a.DeliveredAt
	case a.StatusCode == 0:
		a.Status = "failed to connect"
	default:
		a.Status = "Invalid HTTP Response: " + strconv.Itoa(a.StatusCode)
	}
	g.attempts = append(g.attempts, a)
}

// ServeHTTP serves the two calls of the log.
func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Header.Get("Accept") != "application/vnd.github+json" || r.Header.Get("X-GitHub-Api-Version") != "2022-11-28" {
		g.violate("the headers of %s are not those that GitHub recommends", r.URL)
	}
	if !g.admit(w, r, "X-RateLimit-") {
		return
	}
	below, known := strings.CutPrefix(r.URL.Path, g.Path)
	id, isAttempts := strings.CutSuffix(below, "/attempts")
	switch {
	case known && below == "" && r.Method == http.MethodGet:
		g.list(w, r)
	case known && isAttempts && r.Method == http.MethodPost:
		g.redeliver(w, r, strings.TrimPrefix(id, "/"))
	default:
		problem(w, http.StatusNotFound, "Not Found")
	}
}

// list writes a page, the newest attempt first. The cursor is the first
// attempt of the page.
func (g *GitHub) list(w http.ResponseWriter, r *http.Request) {
	g.reads++
	if every(g.Arrivals, g.reads) {
		g.publish(Accepted)
	}
	size, from := 30, len(g.attempts)-1
	for name, values := range r.URL.Query() {
		n, err := strconv.ParseInt(strings.TrimPrefix(values[0], "v1_"), 10, 64)
		switch {
		case name == "per_page" && err == nil && n >= 1 && n <= 100:
			size = int(n)
		case name == "cursor" && err == nil && strings.HasPrefix(values[0], "v1_"):
			for from >= 0 && g.attempts[from].ID > n {
				from--
			}
		default:
			problem(w, http.StatusUnprocessableEntity, "Validation Failed")
			return
		}
	}
	page := []gitHubAttempt{}
	for ; from >= 0 && len(page) < size; from-- {
		page = append(page, g.attempts[from])
	}
	g.link(w, size, from)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if g.After != nil {
		g.After(r)
	}
	g.lose(r)
	_ = json.NewEncoder(w).Encode(page)
}

// link writes the header Link, with a relation before and after that of the
// next page.
func (g *GitHub) link(w http.ResponseWriter, size, next int) {
	if next < 0 {
		return
	}
	u := func(cursor int64) string {
		q := url.Values{"per_page": {strconv.Itoa(size)}, "cursor": {"v1_" + strconv.FormatInt(cursor, 10)}}
		return "https://api.github.com" + g.Path + "?" + q.Encode()
	}
	w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="prev", <%s>; rel="next", <%s>; rel="first"`,
		u(1), u(g.attempts[next].ID), "https://api.github.com"+g.Path+"?per_page="+strconv.Itoa(size)))
}

// redeliver accepts an ask.
func (g *GitHub) redeliver(w http.ResponseWriter, r *http.Request, id string) {
	g.asks++
	if !g.secondary(w) {
		return
	}
	guid := ""
	for _, a := range g.attempts {
		if strconv.FormatInt(a.ID, 10) == id {
			guid = a.GUID
		}
	}
	if guid == "" {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	if g.accepted[guid] {
		g.needless++
	}
	g.asked[guid]++
	way := Accepted
	if g.Again != nil {
		way = g.Again(guid, g.tries[guid]+1)
	}
	if g.Delay > 0 {
		time.AfterFunc(g.Delay, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.attempt(guid, way)
		})
	} else {
		g.attempt(guid, way)
	}
	if g.After != nil {
		g.After(r)
	}
	g.lose(r)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write([]byte("{}"))
}
