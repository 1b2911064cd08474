package outbox

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// told collects the notices about endpoints, and the log.
type told struct {
	mu      sync.Mutex
	notices []Notice
	log     bytes.Buffer
}

func (o *inside) tell(to *told) {
	o.notifier.hook = func(_ context.Context, n Notice) {
		to.mu.Lock()
		defer to.mu.Unlock()
		to.notices = append(to.notices, n)
	}
	o.health.logger = slog.New(slog.NewTextHandler(&to.log, nil))
}

// A failure is announced at 50, 80 and 100 % of WithDisableAfter. Each stage is
// said once, no matter how many attempts and processes there are, and has what
// a person needs.
func TestStages_AreSaidOnce(t *testing.T) {
	t.Parallel()
	const after = 100 * time.Minute
	for name, c := range map[string]struct {
		lasted  time.Duration
		kind    NoticeKind
		percent int
		line    string
	}{
		"at first":   {10 * time.Second, "", 0, ""},
		"40 seconds": {40 * time.Second, "", 0, "outbox: endpoint accepts no deliveries"},
		"a third":    {33 * time.Minute, "", 33, "outbox: endpoint accepts no deliveries"},
		"half":       {51 * time.Minute, NoticeDisabling, 51, "outbox: endpoint will be disabled"},
		"most":       {81 * time.Minute, NoticeDisabling, 81, "outbox: endpoint will be disabled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			insideEach(t, func(t *testing.T, o *inside) {
				var to told
				o.tell(&to)
				e := o.endpoint("shop", 0)
				d := o.failingFor(c.lasted)
				o.exec(`UPDATE {schema}outbox_endpoint SET state = 'failing' WHERE id = ?`, e)
				d = o.loaded(d.id)
				o.fail(d, true)
				o.fail(d, true) // another worker that loaded it before
				o.fail(o.loaded(d.id), true)
				if c.line == "" {
					require.Empty(t, to.log.String())
					return
				}
				require.Equal(t, 1, strings.Count(to.log.String(), c.line), to.log.String())
				require.Equal(t, 1, strings.Count(to.log.String(), "\n"))
				for _, part := range []string{"level=WARN", "app=shop", "endpoint=" + e, "waiting=1 ", "first_error=", "last_error=", "class=", "next="} {
					require.Contains(t, to.log.String(), part)
				}
				if c.kind == "" {
					require.Empty(t, to.notices)
					return
				}
				require.Len(t, to.notices, 1)
				n := to.notices[0]
				require.Equal(t, c.kind, n.Kind)
				require.Equal(t, c.percent, n.Failure.Percent)
				require.Equal(t, "1", n.Failure.Waiting.String())
				require.WithinDuration(t, time.Now().Add(after-c.lasted), n.Failure.DisableAt, 5*time.Minute)
				require.NotEmpty(t, n.Failure.FirstError)
				require.NotEmpty(t, n.Failure.LastError)
				text, err := n.Event().MarshalJSON()
				require.NoError(t, err)
				require.Contains(t, string(text), `"event":"endpoint.disabling"`)
				require.NotContains(t, string(text), n.Failure.LastError, "it is for the operator")
			}, WithDisableAfter(after))
		})
	}
}

// The next failure is a new one, whose stages are said again.
func TestStages_BeginAgainAfterRecovery(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		var to told
		o.tell(&to)
		o.endpoint("shop", 0)
		for range 2 {
			o.fail(o.failingFor(51*time.Minute), true)
			d := o.loaded(o.publishOne("shop"))
			r := d.delivered(time.Now())
			o.write(r)
			require.NotNil(t, r.outage)
			o.health.sayRecovered(t.Context(), d, r)
		}
		require.Equal(t, 2, strings.Count(to.log.String(), "outbox: endpoint will be disabled"))
		require.Equal(t, 2, strings.Count(to.log.String(), `level=INFO msg="outbox: endpoint accepts deliveries again"`))
		require.Contains(t, to.log.String(), "first_error=")
	}, WithDisableAfter(100*time.Minute))
}

// Disabling has the context of the failure, too.
func TestDisabled_NoticeHasFailure(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		var to told
		o.tell(&to)
		o.endpoint("shop", 0)
		d := o.failingFor(2 * time.Hour)
		o.deadEarlier(30 * time.Minute)
		o.publishOne("shop")
		o.fail(d, false)
		require.Len(t, to.notices, 1)
		require.Equal(t, NoticeDisabled, to.notices[0].Kind)
		require.Equal(t, 100, to.notices[0].Failure.Percent)
		require.Nil(t, to.notices[0].Event(), "the outbox publishes that event itself")
		require.Contains(t, to.log.String(), "outbox: endpoint disabled")
		require.Contains(t, to.log.String(), "send the events that it has missed")
	}, WithDisableAfter(time.Hour))
}

// An open breaker leaves one line.
func TestBreaker_LineWhenItOpens(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		var to told
		o.tell(&to)
		o.endpoint("shop", 0)
		d := o.loaded(o.publishOne("shop"))
		a := d.failed(time.Now(), time.Now()).attempt
		o.health.sayOpened(t.Context(), d, a, time.Now().Add(time.Minute))
		o.health.storeOpenBreaker(t.Context(), d, time.Now().Add(time.Minute))
		o.health.sayOpened(t.Context(), o.loaded(d.id), a, time.Now().Add(time.Minute))
		require.Equal(t, 1, strings.Count(to.log.String(), "outbox: circuit breaker opened"))
	})
}
