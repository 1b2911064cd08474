package sender_test

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// The test uses more URLs than a Sender remembers, at the same time and
// repeatedly. Each delivery goes to the right endpoint, and a refused URL is
// refused each time. A signer that rewrites its request's URL changes no other
// request.
func TestURLsAreNotMixedUp(t *testing.T) {
	t.Parallel()
	s, err := sender.New()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	fake(s, func(_ int, r *http.Request) (*http.Response, error) {
		n := r.Header.Get("X-Number")
		if r.URL.String() != "https://h"+n+".example.com:8443/hooks/"+n || r.Host != "h"+n+".example.com:8443" {
			t.Errorf("number %s went to %s, host %s", n, r.URL, r.Host)
		}
		return answer(http.StatusOK)
	})
	rewriting := signFunc(func(_ context.Context, r *http.Request, _ string, _ time.Time, _ []byte) error {
		r.URL.Path, r.URL.Host, r.Host = "/elsewhere", "elsewhere.example", "elsewhere.example"
		r.Header.Set("X-Signature", "s")
		return nil
	})
	const many, rounds, callers = 600, 3, 4
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := range many * rounds {
				n := strconv.Itoa(i % many)
				good := attempt(t, s, sender.Endpoint{
					URL: sender.NewURL("https://h" + n + ".example.com:8443/hooks/" + n), Signer: rewriting, Header: sender.NewHeader(http.Header{"X-Number": {n}}),
				})
				bad := attempt(t, s, sender.Endpoint{URL: sender.NewURL("https://10.0.0." + strconv.Itoa(i%100) + "/hooks/" + n), Signer: rewriting})
				if good.Outcome != sender.Delivered || bad.Outcome != sender.Refused {
					t.Errorf("number %s: %s (%v), %s (%v)", n, good.Outcome, good.Err, bad.Outcome, bad.Err)
					return
				}
			}
		})
	}
	wg.Wait()
}
