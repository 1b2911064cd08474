package main

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// series returns the lines of a scrape that are no comment, without values.
func (w *world) series() (all []string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.metrics.URL+"/metrics", http.NoBody)
	require.NoError(w.t, err)
	a, err := http.DefaultClient.Do(r)
	require.NoError(w.t, err)
	defer a.Body.Close()
	require.Equal(w.t, 200, a.StatusCode)
	lines := bufio.NewScanner(a.Body)
	for lines.Scan() {
		if name, _, ok := strings.Cut(lines.Text(), "} "); ok && !strings.HasPrefix(name, "#") {
			all = append(all, name+"}")
		}
	}
	require.NoError(w.t, lines.Err())
	return all
}

// Neither endpoints nor invented types make series: deliveries to 10,000
// endpoints (-monitoring.endpoints) with 1,000 types of event leave fewer than
// 2,000.
func TestCardinality(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.subscribe("/inbox")
	w.subscribe("/failing")
	w.publish(t.Context(), "invented.type")
	next := make(chan int)
	var senders sync.WaitGroup
	for range 16 {
		senders.Go(func() {
			for n := range next {
				path := "/receiver"
				if n%10 == 0 {
					path = "/failing"
				}
				ep := sender.Endpoint{URL: sender.NewURL(fmt.Sprintf("%s%s?endpoint=%d", w.received.URL, path, n)), Signer: w.scheme}
				_, err := w.sender.Send(t.Context(), ep, event(payload.Type(fmt.Sprintf("invented.type%d", n%1000))))
				if err != nil && n%10 != 0 {
					t.Error(err)
				}
			}
		})
	}
	for n := range *endpoints {
		next <- n
	}
	close(next)
	senders.Wait()
	all := w.series()
	require.Greater(t, len(all), 100, "the test finds the series")
	require.Less(t, len(all), 2000)
	for _, s := range all {
		require.NotRegexp(t, `invented|endpoint="?\d|whk_|ep_|shop`, s)
	}
	t.Logf("%d series after %d endpoints", len(all), *endpoints)
}
