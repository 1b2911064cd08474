package sender_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// TestURL_IsCheckedOnce compares the allocations of an endpoint that was used
// before with those of new ones. Checking a URL costs as much as signing.
func TestURL_IsCheckedOnce(t *testing.T) {
	s, key := newSender(t), standard(t)
	preview := func(ep sender.Endpoint) {
		_, err := s.Preview(t.Context(), ep, message())
		require.NoError(t, err)
	}
	const runs = 50
	fresh := make([]sender.Endpoint, runs+1) // AllocsPerRun warms up with one more
	for i := range fresh {
		fresh[i] = sender.Endpoint{URL: sender.NewURL(fmt.Sprintf("https://hooks.example/%d", i)), Signer: key}
	}
	next := 0
	unknown := testing.AllocsPerRun(runs, func() { preview(fresh[next]); next++ })
	known := testing.AllocsPerRun(runs, func() { preview(fresh[runs]) })
	require.Less(t, known, unknown)
}
