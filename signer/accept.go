package signer

import (
	"fmt"
	"net/http"
	"time"
)

// What a verifier accepts. A lenient parser is an attack surface: every bound here is the same for all schemes.
const (
	maxSignatureHeader = 8 << 10
	maxSignatures      = 16
	maxIDLength        = 255
	maxTimestampDigits = 11
)

// single returns the value of a header that must occur exactly once. name must be in canonical form.
// Header.Get would hide a second line, and with it what another reader of the same request believes.
func single(h http.Header, name string) (string, error) {
	values := h[name]
	switch len(values) {
	case 1:
		return values[0], nil
	case 0:
		return "", fmt.Errorf("%w: %s", ErrMissingHeader, name)
	}
	return "", fmt.Errorf("%w: %s occurs %d times; want exactly one", ErrMalformed, name, len(values))
}

// validID: 1 to 255 bytes of visible ASCII without a dot. With a dot in it, an ID and a timestamp could be read from
// the signed bytes at another boundary: (a.1, 2, x) and (a, 1, 2.x) sign the same.
func validID(id string) bool {
	if id == "" || len(id) > maxIDLength {
		return false
	}
	for i := 0; i < len(id); i++ {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '.' {
			return false
		}
	}
	return true
}

// parseTimestamp reads Unix seconds as ^[1-9][0-9]{0,10}$: no sign, no leading zero, no fraction, no exponent.
func parseTimestamp(text string) (int64, bool) {
	if text == "" || len(text) > maxTimestampDigits || text[0] == '0' {
		return 0, false
	}
	var n int64
	for i := 0; i < len(text); i++ {
		digit := text[i] - '0'
		if digit > 9 {
			return 0, false
		}
		n = n*10 + int64(digit)
	}
	return n, true
}

// timestampError explains a timestamp that parseTimestamp refused.
func timestampError(header, text string) error {
	if len(text) == 13 {
		if _, ok := parseTimestamp(text[:10]); ok {
			return fmt.Errorf("%w: %s has 13 digits: milliseconds? want Unix seconds", ErrMalformed, header)
		}
	}
	return fmt.Errorf("%w: %s is not a Unix time in seconds (1 to %d digits, no sign, no leading zero)", ErrMalformed, header, maxTimestampDigits)
}

// checkAge compares a signed time with now; tolerance is inclusive on both sides. Sub saturates 292 years away, and the
// least Duration negated is itself: the two sides are subtracted one by one.
func checkAge(header string, at, now time.Time, tolerance time.Duration) error {
	if age := now.Sub(at); age > tolerance {
		return fmt.Errorf("%w: %s is %v old; the tolerance is %v", ErrTooOld, header, age.Truncate(time.Second), tolerance)
	}
	if ahead := at.Sub(now); ahead > tolerance {
		return fmt.Errorf("%w: %s is %v ahead; the tolerance is %v (is a clock wrong?)", ErrTooNew, header, ahead.Truncate(time.Second), tolerance)
	}
	return nil
}

// checkMessage refuses to sign what no verifier would accept. The error does not repeat the ID, which may come from
// anywhere.
func checkMessage(id string, at time.Time) (int64, error) {
	if !validID(id) {
		return 0, fmt.Errorf("%w: the delivery ID must be 1 to %d bytes of visible ASCII without a dot", ErrInvalidMessage, maxIDLength)
	}
	seconds := at.Unix()
	if seconds < 1 || seconds > 99_999_999_999 {
		return 0, fmt.Errorf("%w: the attempt's time (Unix %d) is out of range; pass time.Now()", ErrInvalidMessage, seconds)
	}
	return seconds, nil
}
