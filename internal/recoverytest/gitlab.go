package recoverytest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// GitLab is a fake of GitLab's REST API with one webhook. It is a handler and a
// transport.
type GitLab struct {
	Fake
	// Path is the escaped path of the log, such as
	// "/projects/acme%2Fapi/hooks/7/events".
	Path string
	// Key is the key of the webhook's signing token.
	Key []byte
	// WithoutTimes leaves out created_at, as older versions do.
	WithoutTimes bool
	// Lost counts the events that were not sent, because the webhook was disabled.
	Lost int

	attempts []gitLabAttempt
	events   int
	accepted map[string]bool
	failures int // in a row
	disabled time.Time
	minute   time.Time // the end of the minute of the limit
	inMinute int
}

// gitLabAttempt is an entry of lib/api/entities/web_hook_log.rb.
type gitLabAttempt struct {
	ID              int64             `json:"id"`
	URL             string            `json:"url"`
	Trigger         string            `json:"trigger"`
	RequestHeaders  map[string]string `json:"request_headers"`
	RequestData     json.RawMessage   `json:"request_data"`
	ResponseHeaders map[string]string `json:"response_headers"`
	ResponseBody    string            `json:"response_body"`
	Duration        float64           `json:"execution_duration"`
	ResponseStatus  string            `json:"response_status"`
	CreatedAt       *time.Time        `json:"created_at,omitempty"`
}

// The e-mail address of an event. GitLab removes it from the stored request,
// and sends the stored request.
const email, redacted = `"admin@example.com"`, `"[REDACTED]"`

// RoundTrip makes the fake a transport. A lost answer is an error.
func (g *GitLab) RoundTrip(r *http.Request) (*http.Response, error) { return roundTrip(g, r) }

// Publish lets an event happen, and returns its key.
func (g *GitLab) Publish(way Way) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.publish(way)
}

// PublishOversize lets an event happen whose body is too long for the log. It
// fails.
func (g *GitLab) PublishOversize() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := g.publish(Failing)
	g.attempts[len(g.attempts)-1].RequestData = json.RawMessage(`{"oversize":true}`)
	g.failures = 0
	return key
}

func (g *GitLab) publish(way Way) string {
	if g.accepted == nil {
		g.accepted, g.asked = map[string]bool{}, map[string]int{}
	}
	g.events++
	key := fmt.Sprintf("%08x-00df-429c-9bc9-a9475de2efe4", g.events)
	if time.Now().Before(g.disabled) {
		g.Lost++
		return key
	}
	g.attempt(key, way, fmt.Appendf(nil, `{"object_kind":"deployment","status":"success","deployment_id":%d,"user":{"email":%s}}`, g.events, email))
	if way != Accepted {
		g.failures = 0 // only further attempts disable the webhook of a test
	}
	return key
}

// Events returns the number of events that happened.
func (g *GitLab) Events() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.events
}

// attempt makes an attempt and adds it to the log. It returns the status, or 0.
func (g *GitLab) attempt(key string, way Way, body []byte) int {
	now := time.Now().UTC()
	stamp := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, g.Key)
	mac.Write([]byte(key + "." + stamp + "."))
	mac.Write(body)
	header := http.Header{
		"Content-Type": {"application/json"}, "Idempotency-Key": {key}, "Webhook-Id": {key}, "Webhook-Timestamp": {stamp},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}, "X-Gitlab-Event": {"Deployment Hook"},
	}
	status := g.send(way, header, body)
	text := "internal error"
	if status != 0 {
		text = strconv.Itoa(status)
	}
	a := gitLabAttempt{
		ID: g.nextID(), URL: "https://receiver.example.com", Trigger: "deployment_hooks", RequestData: bytes.ReplaceAll(body, []byte(email), []byte(redacted)),
		RequestHeaders: map[string]string{"Content-Type": "application/json", "Idempotency-Key": key}, ResponseStatus: text,
	}
	if !g.WithoutTimes {
		a.CreatedAt = &now
	}
	g.attempts = append(g.attempts, a)
	if status >= 200 && status <= 299 {
		g.accepted[key], g.failures = true, 0
	} else if g.failures++; g.failures >= 4 {
		g.disabled = now.Add(time.Minute)
	}
	return status
}

// ServeHTTP serves the two calls of the log.
func (g *GitLab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.admit(w, r, "RateLimit-") {
		return
	}
	below, known := strings.CutPrefix(r.URL.EscapedPath(), g.Path)
	id, isResend := strings.CutSuffix(below, "/resend")
	switch {
	case known && below == "" && r.Method == http.MethodGet:
		g.list(w, r)
	case known && isResend && r.Method == http.MethodPost:
		g.resend(w, r, strings.TrimPrefix(id, "/"))
	default:
		problem(w, http.StatusNotFound, "404 Not found")
	}
}

// list writes a page by its number, the newest attempt first.
func (g *GitLab) list(w http.ResponseWriter, r *http.Request) {
	g.reads++
	if every(g.Arrivals, g.reads) {
		g.publish(Accepted)
	}
	numbers := map[string]int{"page": 1, "per_page": 20}
	for name, values := range r.URL.Query() {
		n, err := strconv.Atoi(values[0])
		if numbers[name] == 0 || err != nil || n < 1 || name == "per_page" && n > 20 {
			problem(w, http.StatusBadRequest, name+" does not have a valid value")
			return
		}
		numbers[name] = n
	}
	size, page := numbers["per_page"], numbers["page"]
	list := []gitLabAttempt{}
	from := len(g.attempts) - 1 - (page-1)*size
	for ; from >= 0 && len(list) < size; from-- {
		list = append(list, g.attempts[from])
	}
	next := ""
	if from >= 0 {
		next = strconv.Itoa(page + 1)
	}
	w.Header().Set("X-Next-Page", next)
	w.Header().Set("Content-Type", "application/json")
	if g.After != nil {
		g.After(r)
	}
	g.lose(r)
	_ = json.NewEncoder(w).Encode(list)
}

// resend sends a stored request again and answers with the receiver's status.
func (g *GitLab) resend(w http.ResponseWriter, r *http.Request, id string) {
	g.asks++
	if now := time.Now(); !now.Before(g.minute) {
		g.minute, g.inMinute = now.Add(time.Minute), 0
	}
	if g.inMinute++; g.inMinute > 5 {
		g.closed = g.minute
		problem(w, http.StatusTooManyRequests, "This endpoint has been requested too many times. Try again later.")
		return
	}
	var stored *gitLabAttempt
	for i := range g.attempts {
		if strconv.FormatInt(g.attempts[i].ID, 10) == id {
			stored = &g.attempts[i]
		}
	}
	if stored == nil {
		problem(w, http.StatusNotFound, "404 Not found")
		return
	}
	if time.Now().Before(g.disabled) {
		problem(w, http.StatusUnprocessableEntity, "Hook disabled")
		return
	}
	status := g.again(stored)
	if g.After != nil {
		g.After(r)
	}
	g.lose(r)
	if status == 0 {
		problem(w, http.StatusUnprocessableEntity, "Net::ReadTimeout")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, `{"response_status":%d}`, status)
}

func (g *GitLab) again(stored *gitLabAttempt) int {
	key := stored.RequestHeaders["Idempotency-Key"]
	if g.accepted[key] {
		g.needless++
	}
	if string(stored.RequestData) == `{"oversize":true}` {
		g.violate("%s was sent again without its body", key)
	}
	g.asked[key]++
	way := Accepted
	if g.Again != nil {
		way = g.Again(key, g.asked[key]+1)
	}
	return g.attempt(key, way, stored.RequestData)
}
