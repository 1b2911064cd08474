package signer

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Bounds on what a verifier accepts, the same for all schemes. A lenient parser
// is an attack surface.
const (
	maxSignatureHeader = 8 << 10
	maxSignatures      = 16
	maxIDLength        = 255
	maxTimestampDigits = 11
	maxTimestamp       = 99_999_999_999
)

// single returns the value of a header that must occur exactly once. name must
// be in canonical form. Header.Get would hide a second line, and with it what
// another reader of the same request believes.
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

// validID reports whether an ID is 1 to 255 bytes of visible ASCII without a
// dot. A dot would let an ID and a timestamp be read from the signed bytes at
// another boundary. For example, (a.1, 2, x) and (a, 1, 2.x) sign the same
// bytes.
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

// parseTimestamp reads Unix seconds as ^[1-9][0-9]{0,10}$. It takes no sign,
// leading zero, fraction or exponent.
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
	if len(text) == 13 && strings.Trim(text, "0123456789") == "" {
		return fmt.Errorf("%w: %s has 13 digits: milliseconds? want Unix seconds", ErrMalformed, header)
	}
	return fmt.Errorf("%w: %s is not a Unix time in seconds (1 to %d digits, no sign, no leading zero)", ErrMalformed, header, maxTimestampDigits)
}

// CheckAge is for custom schemes. It returns nil if a signed time is within the
// tolerance of now, on either side, inclusive. Otherwise it returns an error
// that wraps [ErrTooOld] or [ErrTooNew]. The error calls the time what, which
// is usually the name of a header.
func CheckAge(what string, at, now time.Time, tolerance time.Duration) error {
	// Sub saturates at 292 years, and the least Duration negated is itself. The
	// two sides are therefore subtracted one by one.
	if age := now.Sub(at); age > tolerance {
		return fmt.Errorf("%w: %s is %v old; the tolerance is %v", ErrTooOld, what, age.Truncate(time.Second), tolerance)
	}
	if ahead := at.Sub(now); ahead > tolerance {
		return fmt.Errorf("%w: %s is %v ahead; the tolerance is %v (is a clock wrong?)", ErrTooNew, what, ahead.Truncate(time.Second), tolerance)
	}
	return nil
}

// CheckID is for custom schemes. It returns nil for a delivery ID that every
// scheme accepts, which is 1 to 255 bytes of visible ASCII without a dot.
// Otherwise it returns an error that wraps [ErrMalformed] and names the header.
// The error does not repeat the ID.
func CheckID(header, id string) error {
	if !validID(id) {
		return fmt.Errorf("%w: %s is not 1 to %d bytes of visible ASCII without a dot", ErrMalformed, header, maxIDLength)
	}
	return nil
}

// CheckTime is for custom schemes. It returns nil for a time that every scheme
// can sign, which is Unix seconds of 1 to 11 digits. Otherwise it returns an
// error that wraps [ErrInvalidMessage].
func CheckTime(at time.Time) error {
	if seconds := at.Unix(); seconds < 1 || seconds > maxTimestamp {
		return fmt.Errorf("%w: the attempt's time (Unix %d) is out of range; pass time.Now()", ErrInvalidMessage, seconds)
	}
	return nil
}

// CheckMessage is for custom schemes. It refuses to sign an ID or a time
// that no verifier would accept. Errors wrap [ErrInvalidMessage] and do not
// repeat the ID, which may come from anywhere.
func CheckMessage(id string, at time.Time) error {
	if !validID(id) {
		return fmt.Errorf("%w: the delivery ID must be 1 to %d bytes of visible ASCII without a dot", ErrInvalidMessage, maxIDLength)
	}
	return CheckTime(at)
}
