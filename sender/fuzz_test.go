package sender_test

import (
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// addKeys adds the keys of a table of tests as seeds.
func addKeys[V any](f *testing.F, table map[string]V) {
	f.Helper()
	for _, text := range slices.Sorted(maps.Keys(table)) {
		f.Add(text)
	}
}

// FuzzRetryAfter checks that a wait is never negative and never over the limit,
// and that only plain digits or a date count.
func FuzzRetryAfter(f *testing.F) {
	addKeys(f, retryAfterCases)
	f.Fuzz(func(t *testing.T, text string) {
		now := time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC)
		limit := time.Hour
		d := sender.RetryAfter(http.Header{"Retry-After": {text}}, now, limit)
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, limit)
		digits := text != "" && strings.Trim(text, "0123456789") == ""
		_, dateErr := http.ParseTime(text)
		if !digits && dateErr != nil {
			require.Zero(t, d)
		}
		if n, err := strconv.ParseUint(text, 10, 64); err == nil && digits {
			require.Equal(t, min(time.Duration(min(n, 3600))*time.Second, limit), d)
		}
	})
}

// FuzzURL checks that an accepted URL is in normal form and is no form of a
// forbidden address.
func FuzzURL(f *testing.F) {
	addKeys(f, urlCases)
	s, err := sender.New(sender.InsecureHTTP())
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, s.Close()) })
	calls := fake(s, func(_ int, r *http.Request) (*http.Response, error) {
		return answer(200, "X-Host", r.URL.Host)
	})
	f.Fuzz(func(t *testing.T, text string) {
		before := calls.n.Load()
		a := s.Attempt(t.Context(), sender.Endpoint{URL: sender.NewURL(text), Signer: sender.InsecureUnsigned()}, message())
		if a.Err != nil {
			require.ErrorIs(t, a.Err, sender.ErrRefused)
			require.Equal(t, before, calls.n.Load(), "refused, and sent all the same")
			return
		}
		host := a.ResponseHeader.Get("X-Host")
		u, err := url.Parse(text)
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, u.Scheme)
		require.Nil(t, u.User)
		normal, err := sender.ParseURL(text)
		require.NoError(t, err)
		again, err := sender.ParseURL(normal)
		require.NoError(t, err)
		require.Equal(t, normal, again)
		require.Equal(t, strings.ToLower(host), host)
		v, err := url.Parse(u.Scheme + "://" + host)
		require.NoError(t, err)
		if addr, err := netip.ParseAddr(v.Hostname()); err == nil {
			require.NoError(t, sender.GuardCheck(s, netip.AddrPortFrom(addr, 443), false))
		}
	})
}

// FuzzFilter checks that an accepted pattern matches something and a refused
// one matches nothing.
func FuzzFilter(f *testing.F) {
	addKeys(f, patternCases)
	f.Fuzz(func(t *testing.T, p string) {
		filter, err := sender.ParseFilter([]string{p})
		if err != nil {
			typ, known := strings.CutSuffix(p, "*")
			wellFormed := strings.Contains(err.Error(), "did you mean") || strings.Contains(err.Error(), "matches no known type")
			if known && wellFormed {
				return
			}
			if !wellFormed {
				require.False(t, sender.Endpoint{Events: []string{p}}.Accepts(payload.Type(typ+"x.y")))
			}
			return
		}
		typ := payload.Type(p)
		switch {
		case p == "*":
			typ = payload.DeployLive
		case strings.HasSuffix(p, "*"):
			typ = payload.Type(strings.TrimSuffix(p, "*") + "x")
		}
		require.True(t, filter.Accepts(typ))
		require.Equal(t, []string{p}, filter.Patterns())
		if typ2 := payload.Type("zzz.other"); p != "*" && !strings.HasPrefix(p, "zzz.") {
			require.False(t, filter.Accepts(typ2))
		}
	})
}
