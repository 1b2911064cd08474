package outbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// The operator sees the states of all endpoints, also of those without
// deliveries, and how long the worst has failed.
func TestStats_Health(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		now := time.Now().UTC().Truncate(time.Microsecond)
		var ids []string
		for n := range 5 {
			e, _, err := o.App("shop").CreateEndpoint(t.Context(), EndpointConfig{URL: sender.NewURL(fmt.Sprint("http://127.0.0.1:9/", n))})
			require.NoError(t, err)
			ids = append(ids, e.ID)
		}
		set := `UPDATE {schema}outbox_endpoint SET state = ?, breaker_open_until = ?, failing_since = ? WHERE id = ?`
		o.exec(set, string(EndpointFailing), micros(now.Add(time.Minute)), micros(now.Add(-time.Hour)), ids[0])
		o.exec(set, string(EndpointActive), micros(now.Add(-time.Second)), micros(now.Add(-time.Minute)), ids[1])
		o.exec(set, string(EndpointActive), 0, micros(now.Add(-2*time.Hour)), ids[2]) // no breaker
		o.exec(set, string(EndpointDisabled), micros(now.Add(time.Minute)), micros(now.Add(-3*time.Hour)), ids[3])

		s, err := o.Stats(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[EndpointState]Count{EndpointActive: {N: 3}, EndpointFailing: {N: 1}, EndpointDisabled: {N: 1}}, s.EndpointStates)
		require.Equal(t, Breakers{Open: Count{N: 1}, HalfOpen: Count{N: 1}, FailingSince: now.Add(-time.Hour)}, s.Breakers)

		small, err := (&statsReader{db: o.db, most: 2}).read(t.Context(), scope{})
		require.NoError(t, err)
		require.Equal(t, Count{N: 2, More: true}, small.EndpointStates[EndpointActive])

		s, err = o.App("shop").Stats(t.Context())
		require.NoError(t, err)
		require.Empty(t, s.EndpointStates)
		require.Zero(t, s.Breakers)
	})
}
