package recovery

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

// limiter knows when the next request may be made.
type limiter struct{ notBefore time.Time }

// see reads the rate limit of an answer. It reports whether the limit refused
// the request. The rules are those of
// docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api. GitLab
// has the same headers without "X-", and answers 429
// (docs.gitlab.com/administration/settings/user_and_ip_rate_limits).
func (l *limiter) see(a *answer, try int, now time.Time) (limited bool) {
	reset, exhausted := resetOf(a.header, now)
	if exhausted {
		l.until(reset)
	}
	if a.status != http.StatusForbidden && a.status != http.StatusTooManyRequests {
		return false
	}
	retry, named := retryAfter(a.header, now)
	switch {
	case named:
		l.until(retry)
	case exhausted:
	case a.status == http.StatusTooManyRequests, isSecondary(a.body):
		l.until(now.Add(limitWait << (try - 1)))
	default:
		return false
	}
	return true
}

func (l *limiter) until(t time.Time) {
	if t.After(l.notBefore) {
		l.notBefore = t
	}
}

// isSecondary reports whether a 403 is about a secondary rate limit. GitHub
// sends "an error message that indicates that you exceeded a secondary rate
// limit".
func isSecondary(body []byte) bool {
	return bytes.Contains(bytes.ToLower(body), []byte("rate limit"))
}

// resetOf returns when a used-up limit is reset. It compares the time with the
// server's clock, since the own clock may differ.
func resetOf(h http.Header, now time.Time) (at time.Time, exhausted bool) {
	for _, prefix := range []string{"X-Ratelimit-", "Ratelimit-"} {
		if h.Get(prefix+"Remaining") != "0" {
			continue
		}
		seconds, err := strconv.ParseInt(h.Get(prefix+"Reset"), 10, 64)
		if err != nil {
			continue
		}
		server, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			server = now
		}
		// The reset has no fraction of a second.
		return now.Add(max(0, time.Unix(seconds, 0).Sub(server)) + time.Second), true
	}
	return time.Time{}, false
}

// retryAfter returns the time of the header Retry-After.
func retryAfter(h http.Header, now time.Time) (at time.Time, named bool) {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil && seconds >= 0 {
		return now.Add(time.Duration(seconds) * time.Second), true
	}
	if at, err := http.ParseTime(text); err == nil {
		return at, true
	}
	return time.Time{}, false
}
