package console_test

import (
	"context"
	"iter"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/console"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
)

// hangs is a ledger whose database does not answer.
type hangs struct{ deployments.History }

func (hangs) wait(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (l hangs) Scopes(ctx context.Context, _ string) ([]deployments.Scope, error) {
	return nil, l.wait(ctx)
}

func (l hangs) Runs(ctx context.Context, _ string, _ deployments.Scope, _, _ time.Time) iter.Seq2[deployments.Run, error] {
	return func(yield func(deployments.Run, error) bool) { yield(deployments.Run{}, l.wait(ctx)) }
}

func (l hangs) Incidents(ctx context.Context, _ string) iter.Seq2[payload.Incident, error] {
	return func(yield func(payload.Incident, error) bool) { yield(payload.Incident{}, l.wait(ctx)) }
}

func (l hangs) Get(ctx context.Context, _, _ string) (*deployments.Record, error) {
	return nil, l.wait(ctx)
}

func (l hangs) Live(ctx context.Context, _ string, _ deployments.Scope, _ time.Time) (*deployments.Record, error) {
	return nil, l.wait(ctx)
}

func (l hangs) Latest(ctx context.Context, _ string, _ deployments.Scope, _ deployments.Page) (deployments.Records, error) {
	return deployments.Records{}, l.wait(ctx)
}

// A page of a database that does not answer says so after some seconds, and so
// does a report that waits for others.
func TestSlowSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calculator, err := dora.New(hangs{})
		require.NoError(t, err)
		everybody := func(*http.Request) (console.Access, error) {
			return console.Access{Read: true, Organizations: []string{"acme"}}, nil
		}
		h, err := console.New(everybody, console.WithLedger(hangs{}), console.WithMetrics(calculator))
		require.NoError(t, err)
		get := func(path string) (status int, text string, took time.Duration) {
			began := time.Now()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
			return w.Code, w.Body.String(), time.Since(began)
		}
		for _, path := range []string{"/orgs/acme/deployments", "/orgs/acme/history", "/orgs/acme/deployment?id=x", "/orgs/acme/metrics"} {
			status, text, took := get(path)
			require.Equal(t, http.StatusServiceUnavailable, status, path)
			require.Contains(t, text, "The database did not answer in time.")
			require.Equal(t, 10*time.Second, took)
		}
		var group sync.WaitGroup
		for range 4 { // two of them wait for the others
			group.Go(func() {
				status, text, took := get("/orgs/acme/metrics/report?service=api&environment=production")
				require.Equal(t, http.StatusServiceUnavailable, status)
				require.Contains(t, text, "The report took too long.")
				require.LessOrEqual(t, took, 30*time.Second)
			})
		}
		group.Wait()
	})
}
