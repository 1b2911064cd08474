package deployments_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// A stored deployment is answered as recorded, even if callbacks of the
// application misbehave.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	cases := map[string]func(t *testing.T, f *callbacktest.Fault){
		"WithLinker": func(t *testing.T, f *callbacktest.Fault) {
			h := newDeployments(t, newLedger(t), deployments.WithLinker(deployments.LinkerFunc(func(context.Context, deployments.Link) (int, error) {
				f.Happen()
				return 0, nil
			})))
			w := deploy(h, acmeKey, body(t, testDeployment("a", payload.StatusSuccess)))
			require.Equal(t, 201, w.Code)
			require.Equal(t, `{"action":"created","deploymentId":1,"linkedPRs":0,"linkFailed":true}`, w.Body.String())
			require.Equal(t, map[string]uint64{"WithLinker": 1}, h.Faults())
		},
		"WithContradictionHook": func(t *testing.T, f *callbacktest.Fault) {
			h := newDeployments(t, newLedger(t), deployments.WithContradictionHook(func(context.Context, deployments.Contradiction) { f.Happen() }))
			d := testDeployment("a", payload.StatusSuccess)
			require.Equal(t, 201, deploy(h, acmeKey, body(t, d)).Code)
			d.Environment = "other"
			require.Equal(t, `{"action":"updated","deploymentId":1,"linkedPRs":0}`, deploy(h, acmeKey, body(t, d)).Body.String())
			require.Equal(t, map[string]uint64{"WithContradictionHook": 1}, h.Faults())
		},
		"WithIncidentDecoder": func(t *testing.T, f *callbacktest.Fault) {
			h, err := deployments.NewIncidents(newAPIKeys(t), newLedger(t), deployments.WithIncidentDecoder(
				func(context.Context, []byte) (*payload.Incident, error) { f.Happen(); return nil, nil }))
			require.NoError(t, err)
			require.Equal(t, 503, deploy(h, acmeKey, `{"incidentId":"7"}`).Code)
			require.Equal(t, map[string]uint64{"WithIncidentDecoder": 1}, h.Faults())
		},
		"ledger": func(t *testing.T, f *callbacktest.Fault) {
			h := newDeployments(t, badLedger{newLedger(t), f.Happen})
			require.Equal(t, 503, deploy(h, acmeKey, body(t, testDeployment("a", payload.StatusSuccess))).Code)
			require.Equal(t, map[string]uint64{"ledger": 1}, h.Faults())
		},
		"WithObserver": func(t *testing.T, f *callbacktest.Fault) {
			answered(t, f, "WithObserver", deployments.WithObserver(func(context.Context, receiver.Result) { f.Happen() }))
		},
		"WithTelemetry": func(t *testing.T, f *callbacktest.Fault) {
			answered(t, f, "WithTelemetry", deployments.WithTelemetry(func(source string) (receiver.Telemetry, error) {
				require.Equal(t, "deployments", source)
				return telemetry{f.Happen}, nil
			}))
		},
		"WithLogger": func(t *testing.T, f *callbacktest.Fault) {
			answered(t, f, "WithLogger", deployments.WithLogger(slog.New(badHandler{f.Happen})))
		},
	}
	for name, test := range cases { // time limits are in virtual time
		cases[name] = func(t *testing.T, f *callbacktest.Fault) {
			synctest.Test(t, func(t *testing.T) {
				f.Reset(t)
				test(t, f)
			})
		}
	}
	callbacktest.Run(t, ".", cases)
}

// answered sends a delivery whose answer must arrive before the callback
// returns.
func answered(t *testing.T, f *callbacktest.Fault, name string, opt deployments.Option) {
	t.Helper()
	h := newDeployments(t, newLedger(t), opt)
	answer := make(chan *httptest.ResponseRecorder, 1)
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body(t, testDeployment("a", payload.StatusSuccess))))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+acmeKey)
	go func() {
		w := httptest.NewRecorder()
		defer func() { answer <- w }() // also if the goroutine ends
		h.ServeHTTP(w, r)
	}()
	synctest.Wait()
	if f.Kind == callbacktest.Hangs {
		require.Empty(t, answer)
		f.Release()
	} else {
		require.NotZero(t, h.Faults()[name])
	}
	w := <-answer
	require.True(t, w.Flushed, "the sender had its answer")
	require.Equal(t, 201, w.Code)
}

type badLedger struct {
	deployments.Ledger
	fault func()
}

func (l badLedger) Record(ctx context.Context, organization string, d *payload.Deployment) (deployments.Recorded, error) {
	l.fault()
	return l.Ledger.Record(ctx, organization, d)
}

// badHandler is an application's log handler that misbehaves.
type badHandler struct{ fault func() }

func (badHandler) Enabled(context.Context, slog.Level) bool    { return true }
func (h badHandler) Handle(context.Context, slog.Record) error { h.fault(); return nil }
func (h badHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h badHandler) WithGroup(string) slog.Handler             { return h }

// telemetry has a fault at the end of each request.
type telemetry struct{ fault func() }

func (telemetry) Start(r *http.Request, _ *receiver.Delivery, _ time.Time) context.Context {
	return r.Context()
}
func (t telemetry) End(context.Context, receiver.Result) { t.fault() }

func TestCallbacks_NilIsAConfigurationError(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]deployments.Option{
		"WithObserver": deployments.WithObserver(nil), "WithTelemetry": deployments.WithTelemetry(nil), "WithContradictionHook": deployments.WithContradictionHook(nil),
		"WithLinker": deployments.WithLinker(deployments.LinkerFunc(nil)), "WithIncidentDecoder": deployments.WithIncidentDecoder(nil),
	} {
		_, err := deployments.New(newAPIKeys(t), newLedger(t), opt)
		require.ErrorIs(t, err, deployments.ErrConfig)
		require.ErrorContains(t, err, name)
	}
}
