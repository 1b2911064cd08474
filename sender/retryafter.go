package sender

import (
	"net/http"
	"time"
)

// retryAfter returns the pause that an answer asks for with Retry-After (RFC
// 9110 section 10.2.3), capped at limit. The header is a number of seconds or
// an HTTP-date. A date counts from the answer's Date if it has one, so that a
// wrong clock on either side does not matter, and otherwise from now. A date in
// the past is 0. asked is false for any other value and for a header that
// occurs twice.
func retryAfter(h http.Header, now time.Time, limit time.Duration) (wait time.Duration, asked bool) {
	values := h["Retry-After"]
	if len(values) != 1 {
		return 0, false
	}
	if d, ok := seconds(values[0], limit); ok {
		return d, true
	}
	at, err := http.ParseTime(values[0])
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), limit), true // Sub saturates
}

// seconds reads 1*DIGIT of any length, capped at limit. It takes no sign,
// blank, fraction or exponent.
func seconds(text string, limit time.Duration) (time.Duration, bool) {
	if text == "" {
		return 0, false
	}
	var d time.Duration
	for i := range len(text) {
		digit := text[i] - '0'
		if digit > 9 {
			return 0, false
		}
		// This is at most ten times the limit, which can't overflow, see
		// maxRetryAfterLimit.
		d = min(d*10+time.Duration(digit)*time.Second, limit)
	}
	return d, true
}
