// Package recoverytest has fakes of the delivery logs of GitHub and GitLab, for
// tests of package recovery and of programs that use it.
//
// The fakes follow the documented answers of both platforms, and are strict.
// They send deliveries to a real receiver, with real signatures. What a client
// must not do is in Violations.
package recoverytest

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"
)

// Way is how an attempt goes.
type Way int

// The ways of attempts.
const (
	// Accepted reaches the receiver, whose answer is recorded.
	Accepted Way = iota
	// Unreachable does not reach the receiver.
	Unreachable
	// Failing ends with a 503 of a proxy in front of the receiver.
	Failing
	// TimedOut reaches the receiver, but its answer comes too late.
	TimedOut
	// Throttled has no result yet. Only GitHub knows it.
	Throttled
)

// Faults say which requests to the API fail. Each number n is for every nth
// request of the kind, and zero is for none.
type Faults struct {
	ServerErrors int // requests that are answered with 502, and do nothing
	LostReads    int // pages whose answers are lost
	LostAsks     int // asks that take effect, but whose answers are lost
	Secondary    int // asks that a secondary rate limit refuses
	PerHour      int // requests that the primary rate limit permits in an hour
	Arrivals     int // pages during which a new event arrives
}

// Fake is what both platforms share. It is safe for concurrent use. Set its
// fields before the first request.
type Fake struct {
	Faults
	// Receiver gets the deliveries.
	Receiver http.Handler
	// Token is the token that requests must have.
	Token string
	// Delay is the time until a requested attempt is made and in the log.
	Delay time.Duration
	// Again says how further attempts go. Nil accepts all.
	Again func(key string, attempt int) Way
	// After is called after each request took effect and before its answer.
	After func(r *http.Request)

	mu         sync.Mutex
	requests   int
	reads      int
	asks       int
	lastID     int64
	closed     time.Time // no request is permitted before
	window     time.Time // the end of the hour of the primary limit
	used       int
	asked      map[string]int
	violations []string
	needless   int
}

// Violations returns what a client did that it must not do.
func (f *Fake) Violations() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.violations...)
}

// Asked returns how often each delivery was asked for, by its key.
func (f *Fake) Asked() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := map[string]int{}
	for key, n := range f.asked {
		asked[key] = n
	}
	return asked
}

// Needless returns the number of asks for deliveries that were accepted before.
func (f *Fake) Needless() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.needless
}

// Requests returns the number of requests so far.
func (f *Fake) Requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

func (f *Fake) violate(format string, args ...any) {
	if len(f.violations) < 20 {
		f.violations = append(f.violations, fmt.Sprintf(format, args...))
	}
}

// nextID returns an ID with a gap to the last one, as in a table that others
// share.
func (f *Fake) nextID() int64 {
	f.lastID += 3 + f.lastID%5
	return f.lastID
}

func every(n, count int) bool { return n > 0 && count%n == 0 }

// problem writes an error as both platforms do.
func problem(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"message":%q,"documentation_url":"https://docs.example.com"}`, message)
}

// admit applies the rules that all requests have. It reports false if it has
// answered.
func (f *Fake) admit(w http.ResponseWriter, r *http.Request, prefix string) bool {
	f.requests++
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if now := time.Now(); now.Before(f.closed) {
		f.violate("request %d came %v before the end of a rate limit", f.requests, f.closed.Sub(now))
	}
	if r.Header.Get("Authorization") != "Bearer "+f.Token {
		problem(w, http.StatusUnauthorized, "Bad credentials")
		return false
	}
	if r.ContentLength != 0 {
		f.violate("request %d has a body", f.requests)
	}
	if r.Header.Get("User-Agent") == "" {
		f.violate("request %d has no User-Agent", f.requests)
	}
	if !f.primary(w, prefix) {
		problem(w, http.StatusForbidden, "API rate limit exceeded for user ID 1.")
		return false
	}
	if every(f.ServerErrors, f.requests) {
		problem(w, http.StatusBadGateway, "Server Error")
		return false
	}
	return true
}

// primary counts a request against the limit of the hour.
func (f *Fake) primary(w http.ResponseWriter, prefix string) bool {
	if f.PerHour == 0 {
		return true
	}
	if now := time.Now(); !now.Before(f.window) {
		f.window, f.used = now.Truncate(time.Second).Add(time.Hour), 0
	}
	f.used++
	w.Header().Set(prefix+"Limit", strconv.Itoa(f.PerHour))
	w.Header().Set(prefix+"Remaining", strconv.Itoa(max(0, f.PerHour-f.used)))
	w.Header().Set(prefix+"Reset", strconv.FormatInt(f.window.Unix(), 10))
	if f.used >= f.PerHour {
		f.closed = f.window
	}
	return f.used <= f.PerHour
}

// secondary refuses an ask, in each of the three documented forms in turn.
func (f *Fake) secondary(w http.ResponseWriter) bool {
	if !every(f.Secondary, f.asks) {
		return true
	}
	status := http.StatusForbidden
	f.closed = time.Now().Add(time.Minute)
	switch (f.asks / f.Secondary) % 3 {
	case 0:
		w.Header().Set("Retry-After", "90")
		f.closed = time.Now().Add(90 * time.Second)
	case 1:
		status = http.StatusTooManyRequests
	}
	problem(w, status, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
	return false
}

// lose loses the answer to a request that took effect. The client then does not
// know what the answer says about the limits.
func (f *Fake) lose(r *http.Request) {
	lost := every(f.LostReads, f.reads)
	if r.Method == http.MethodPost {
		lost = every(f.LostAsks, f.asks)
	}
	if lost || r.Context().Err() != nil {
		f.closed = time.Time{}
		panic(http.ErrAbortHandler)
	}
}

// send makes an attempt and returns the status that the platform sees, which is
// 0 if there is none.
func (f *Fake) send(way Way, header http.Header, body []byte) int {
	switch way {
	case Unreachable, Throttled:
		return 0
	case Failing:
		return http.StatusServiceUnavailable
	}
	r := httptest.NewRequest(http.MethodPost, "/webhooks", bytes.NewReader(body))
	r.Header = header
	w := httptest.NewRecorder()
	f.Receiver.ServeHTTP(w, r)
	if way == TimedOut {
		return 0
	}
	return w.Code
}

// roundTrip passes a request to a fake without a network.
func roundTrip(h http.Handler, r *http.Request) (resp *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	defer func() {
		if value := recover(); value == http.ErrAbortHandler {
			resp, err = nil, fmt.Errorf("read the answer: connection reset by peer")
		} else if value != nil {
			panic(value)
		}
	}()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}
