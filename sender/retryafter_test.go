package sender_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// retryAfterCases maps headers to waits. They are also the seeds of
// FuzzRetryAfter.
var retryAfterCases = map[string]time.Duration{
	"":                                 0,
	"0":                                0,
	"1":                                sec,
	"120":                              2 * mnt,
	"007":                              7 * sec,
	"3600":                             hr,
	"3601":                             hr, // the cap
	"9223372036":                       hr,
	"9223372037":                       hr, // overflows nanoseconds
	"18446744073709551617":             hr,
	"-1":                               0,
	"+5":                               0,
	" 5 ":                              0,
	"5 ":                               0,
	"5s":                               0,
	"5.0":                              0,
	"1e300":                            0,
	"0x10":                             0,
	"NaN":                              0,
	"Inf":                              0,
	"٣":                                0,
	"\x00":                             0,
	"1,2":                              0,
	"Thu, 12 Mar 2026 14:24:01 GMT":    2 * mnt,
	"Thursday, 12-Mar-26 14:24:01 GMT": 2 * mnt,
	"Thu Mar 12 14:24:01 2026":         2 * mnt,
	"Thu, 12 Mar 2026 14:21:01 GMT":    0, // past
	"Fri, 31 Dec 9999 23:59:59 GMT":    hr,
	"Mon, 01 Jan 0001 00:00:00 GMT":    0,
	"2026-03-12T14:24:01Z":             0,
	"tomorrow":                         0,
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC)
	for text, want := range retryAfterCases {
		require.Equal(t, want, sender.RetryAfter(http.Header{"Retry-After": {text}}, now, hr), "%q", text)
	}
	require.Zero(t, sender.RetryAfter(http.Header{}, now, hr))
	require.Zero(t, sender.RetryAfter(http.Header{"Retry-After": {"5", "6"}}, now, hr), "which of them?")
	require.Equal(t, 7*24*hr, sender.RetryAfter(http.Header{"Retry-After": {strings.Repeat("9", 60_000)}}, now, 7*24*hr))
}

// TestRetryAfterDateCountsFromTheServersClock uses two dates of the server, so
// that its wrong clock cancels out.
func TestRetryAfterDateCountsFromTheServersClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	h := http.Header{"Retry-After": {"Thu, 12 Mar 2026 14:24:01 GMT"}, "Date": {"Thu, 12 Mar 2026 14:22:01 GMT"}}
	require.Equal(t, 2*mnt, sender.RetryAfter(h, now, hr))
	h.Set("Date", "nonsense")
	require.Zero(t, sender.RetryAfter(h, now, hr))
}
