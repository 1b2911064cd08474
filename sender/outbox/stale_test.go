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
	o.publisher.supersede, o.worker.loader = on, newLoader(o.db, on, o.faults)
}

// newsAt publishes an event of a deployment, and returns its deliveries by their endpoint.
func (o *inside) newsAt(typ payload.Type, deployment string, minute int) map[string]string {
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
	p, err := o.Publish(o.t.Context(), "shop", e)
	require.NoError(o.t, err)
	ids := map[string]string{}
	for _, ref := range p.Deliveries {
		ids[ref.Endpoint] = ref.ID
	}
	return ids
}

// deaf is an endpoint that wants only these types.
func (o *inside) deaf(types ...string) string {
	o.t.Helper()
	e, _, err := o.CreateEndpoint(o.t.Context(), EndpointConfig{App: "shop", URL: sender.NewURL("http://127.0.0.1:1/" + newID("x")), Events: types})
	require.NoError(o.t, err)
	return e.ID
}

// News that is stale is so for the same deployment, at the same endpoint, from a terminal event that is no older; nobody has asked
// for it to be sent again; and it is told alike by who publishes, in either order, and by the worker.
func TestWhatMakesNewsStale(t *testing.T) {
	t.Parallel()
	type news struct {
		typ        payload.Type
		deployment string
		minute     int
	}
	for name, c := range map[string]struct {
		old, end news
		want     bool
	}{
		"older":              {news{payload.DeployStarted, "d", 1}, news{payload.DeployLive, "d", 2}, true},
		"of the same moment": {news{payload.BuildCompleted, "d", 2}, news{payload.DeployFailed, "d", 2}, true},
		"after a rollback":   {news{payload.HealthCheckPassed, "d", 1}, news{payload.DeployRolledBack, "d", 2}, true},
		"younger":            {news{payload.DeployStarted, "d", 3}, news{payload.DeployLive, "d", 2}, false},
		"another deployment": {news{payload.DeployStarted, "d2", 1}, news{payload.DeployLive, "d", 2}, false},
		"not terminal":       {news{payload.DeployStarted, "d", 1}, news{payload.HealthCheckPassed, "d", 2}, false},
		"itself terminal":    {news{payload.DeployFailed, "d", 1}, news{payload.DeployLive, "d", 2}, false},
		"of its own type":    {news{"release.canary", "d", 1}, news{payload.DeployLive, "d", 2}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			insideEach(t, func(t *testing.T, o *inside) {
				both := o.endpoint("shop", 0)
				deaf := o.deaf(string(c.old.typ))
				check := func(ids map[string]string) {
					t.Helper()
					require.Equal(t, c.want, o.delivery(ids[both]).State == Superseded)
					require.Equal(t, Pending, o.delivery(ids[deaf]).State, "it gets no news of the end")
				}
				o.setSupersession(true)
				old := o.newsAt(c.old.typ, c.old.deployment, c.old.minute)
				end := o.newsAt(c.end.typ, c.end.deployment, c.end.minute)
				check(old)
				require.Equal(t, Pending, o.delivery(end[both]).State)

				late := o.newsAt(c.old.typ, c.old.deployment, c.old.minute)
				check(late)
				require.Equal(t, c.want, o.delivery(late[both]).DoneAt.IsZero() == false)

				o.setSupersession(false)
				unseen := o.newsAt(c.old.typ, c.old.deployment, c.old.minute)
				require.Equal(t, Pending, o.delivery(unseen[both]).State)
				require.False(t, o.loaded(unseen[both]).stale)
				o.setSupersession(true)
				require.Equal(t, c.want, o.loaded(unseen[both]).stale)
				require.False(t, o.loaded(unseen[deaf]).stale)
				o.replay(unseen[both])
				require.False(t, o.loaded(unseen[both]).stale, "someone wants it")
				o.newsAt(c.end.typ, c.end.deployment, c.end.minute)
				require.Equal(t, Pending, o.delivery(unseen[both]).State, "someone wants it")
			}, WithSupersession())
		})
	}
}

// What has ended stays as it ended.
func TestOnlyWhatWaitsIsSuperseded(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		delivered, failed := o.newsAt(payload.DeployStarted, "d", 1)[e], o.newsAt(payload.DeployStarted, "d", 1)[e]
		o.write(o.loaded(delivered).delivered(time.Now()), o.loaded(failed).failed(time.Now(), time.Time{}))
		o.newsAt(payload.DeployLive, "d", 2)
		require.Equal(t, Delivered, o.delivery(delivered).State)
		require.Equal(t, Failed, o.delivery(failed).State)
		// One that can't be sent says so, and not that it is stale.
		c := EndpointConfig{App: "shop", URL: sender.NewURL("http://127.0.0.1:1/mute"), BodyFormat: "mute"}
		mute, _, err := o.CreateEndpoint(t.Context(), c)
		require.NoError(t, err)
		o.newsAt(payload.DeployLive, "d", 2)
		require.Equal(t, Failed, o.delivery(o.newsAt(payload.DeployStarted, "d", 1)[mute.ID]).State)
	}, WithSupersession(), WithFormat("mute", mute{}))
}

// mute is a format that can't say what has begun.
type mute struct{}

func (mute) Encode(_ context.Context, e *payload.Event) (string, []byte, error) {
	if e.Type == payload.DeployStarted {
		return "", nil, errMute
	}
	return "text/plain", []byte("x"), nil
}

var errMute = fieldError("mute", "has no word for it")
