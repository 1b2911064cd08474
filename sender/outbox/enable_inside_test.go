package outbox

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// TestEnable_WhileWorkerCancels enables an endpoint after a worker has read
// that it is disabled, and before the worker cancels the delivery. The
// process that disabled the endpoint died before it canceled deliveries.
func TestEnable_WhileWorkerCancels(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		endpoint := o.endpoint("shop", 0)
		id := o.publishOne("shop")
		o.exec(`UPDATE {schema}outbox_endpoint SET state = ?, disabled_at = ? WHERE id = ?`,
			string(EndpointDisabled), micros(time.Now()), endpoint)
		read := o.loaded(id)
		require.Equal(t, EndpointDisabled, read.endpointState)

		require.NoError(t, o.App("shop").Enable(t.Context(), endpoint, WithMissed()))
		require.Equal(t, jobdb.After(0), o.worker.end(t.Context(), read, Canceled, "the endpoint is disabled"))
		require.Equal(t, Pending, o.delivery(id).State, "an enabled endpoint lost a delivery")

		o.exec(`UPDATE {schema}outbox_endpoint SET state = ? WHERE id = ?`, string(EndpointDisabled), endpoint)
		require.Equal(t, jobdb.Finished(), o.worker.end(t.Context(), read, Canceled, "the endpoint is disabled"))
		require.Equal(t, Canceled, o.delivery(id).State)
	})
}
