package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

func (o *inside) setSupersession(on bool) {
	o.publisher.supersede, o.worker.loader = on, newLoader(o.db, on, false, o.faults)
}

// publishAt publishes an event of a deployment, and returns its deliveries by
// their endpoint.
func (o *inside) publishAt(typ payload.Type, deployment string, minute int) map[string]string {
	o.t.Helper()
	e := &payload.Event{
		Type: typ, Timestamp: time.Date(2026, 3, 12, 14, minute, 0, 0, time.UTC), DeploymentID: deployment, App: "shop",
		Environment: "production",
	}
	switch typ {
	case payload.DeployFailed:
		e.Error = "timed out"
	case payload.DeployRolledBack:
		e.PreviousVersion = "v1"
	}
	p, err := o.App("shop").Publish(o.t.Context(), e)
	require.NoError(o.t, err)
	ids := map[string]string{}
	for _, ref := range p.Deliveries {
		ids[ref.Endpoint] = ref.ID
	}
	return ids
}

// filtered is an endpoint that wants only these types.
func (o *inside) filtered(types ...string) string {
	o.t.Helper()
	e, _, err := o.App("shop").CreateEndpoint(o.t.Context(), EndpointConfig{URL: sender.NewURL("http://127.0.0.1:1/" + newID("x")), Events: types})
	require.NoError(o.t, err)
	return e.ID
}

// A delivery is stale if the same endpoint has a terminal event of the same
// deployment that is not older, unless the delivery was replayed. Publishing,
// in either order, and the worker apply the same rule.
func TestSupersession_Stale(t *testing.T) {
	t.Parallel()
	type published struct {
		typ        payload.Type
		deployment string
		minute     int
	}
	for name, c := range map[string]struct {
		old, end published
		want     bool
	}{
		"older":              {published{payload.DeployStarted, "d", 1}, published{payload.DeployLive, "d", 2}, true},
		"of the same moment": {published{payload.BuildCompleted, "d", 2}, published{payload.DeployFailed, "d", 2}, true},
		"after a rollback":   {published{payload.HealthCheckPassed, "d", 1}, published{payload.DeployRolledBack, "d", 2}, true},
		"younger":            {published{payload.DeployStarted, "d", 3}, published{payload.DeployLive, "d", 2}, false},
		"another deployment": {published{payload.DeployStarted, "d2", 1}, published{payload.DeployLive, "d", 2}, false},
		"not terminal":       {published{payload.DeployStarted, "d", 1}, published{payload.HealthCheckPassed, "d", 2}, false},
		"itself terminal":    {published{payload.DeployFailed, "d", 1}, published{payload.DeployLive, "d", 2}, false},
		"of its own type":    {published{"release.canary", "d", 1}, published{payload.DeployLive, "d", 2}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			insideEach(t, func(t *testing.T, o *inside) {
				both := o.endpoint("shop", 0)
				filtered := o.filtered(string(c.old.typ))
				check := func(ids map[string]string) {
					t.Helper()
					require.Equal(t, c.want, o.delivery(ids[both]).State == Superseded)
					require.Equal(t, Pending, o.delivery(ids[filtered]).State, "it does not get the terminal event")
				}
				o.setSupersession(true)
				old := o.publishAt(c.old.typ, c.old.deployment, c.old.minute)
				end := o.publishAt(c.end.typ, c.end.deployment, c.end.minute)
				check(old)
				require.Equal(t, Pending, o.delivery(end[both]).State)

				late := o.publishAt(c.old.typ, c.old.deployment, c.old.minute)
				check(late)
				require.Equal(t, c.want, o.delivery(late[both]).DoneAt.IsZero() == false)

				o.setSupersession(false)
				unseen := o.publishAt(c.old.typ, c.old.deployment, c.old.minute)
				require.Equal(t, Pending, o.delivery(unseen[both]).State)
				require.False(t, o.loaded(unseen[both]).stale)
				o.setSupersession(true)
				require.Equal(t, c.want, o.loaded(unseen[both]).stale)
				require.False(t, o.loaded(unseen[filtered]).stale)
				o.replay(unseen[both])
				require.False(t, o.loaded(unseen[both]).stale, "it was replayed")
				o.publishAt(c.end.typ, c.end.deployment, c.end.minute)
				require.Equal(t, Pending, o.delivery(unseen[both]).State, "it was replayed")
			}, WithSupersession())
		})
	}
}

// A delivery that has ended keeps its state.
func TestSupersession_OnlyPending(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		delivered, failed := o.publishAt(payload.DeployStarted, "d", 1)[e], o.publishAt(payload.DeployStarted, "d", 1)[e]
		o.write(o.loaded(delivered).delivered(time.Now()), o.loaded(failed).failed(time.Now(), time.Time{}))
		o.publishAt(payload.DeployLive, "d", 2)
		require.Equal(t, Delivered, o.delivery(delivered).State)
		require.Equal(t, Failed, o.delivery(failed).State)
		// A delivery that cannot be sent fails with that reason, even if it is also
		// stale.
		c := EndpointConfig{URL: sender.NewURL("http://127.0.0.1:1/mute"), BodyFormat: "mute"}
		mute, _, err := o.App("shop").CreateEndpoint(t.Context(), c)
		require.NoError(t, err)
		o.publishAt(payload.DeployLive, "d", 2)
		require.Equal(t, Failed, o.delivery(o.publishAt(payload.DeployStarted, "d", 1)[mute.ID]).State)
	}, WithSupersession(), WithFormat("mute", mute{}))
}

// mute is a format that has no message for deploy.started.
type mute struct{}

func (mute) Encode(_ context.Context, e *payload.Event) (string, []byte, error) {
	if e.Type == payload.DeployStarted {
		return "", nil, errMute
	}
	return "text/plain", []byte("x"), nil
}

var errMute = fieldError("mute", "has no word for it")
