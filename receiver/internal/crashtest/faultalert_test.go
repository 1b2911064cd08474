package crashtest

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/deployhook/deployhook/receiver/otelreceiver"
)

const (
	// rulesFile has the alerts that ship.
	rulesFile = "../../../examples/monitoring/alerts.yml"
	// seriesEvery is the time between two values of the series for promtool.
	seriesEvery = 15 * time.Second
	// phaseValues is the number of values without the fault, and with it. The
	// two phases take 15 minutes each.
	phaseValues = 60
)

// faultMetrics are the metrics of a service, as Prometheus scrapes them.
type faultMetrics struct {
	option  otelreceiver.Option
	handler http.Handler
}

func newFaultMetrics(t *testing.T) *faultMetrics {
	t.Helper()
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutTargetInfo())
	require.NoError(t, err)
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
	// The exporter drops what a callback reports if the callback also returns
	// an error, unless the handler goes on.
	return &faultMetrics{otelreceiver.WithMeterProvider(meters), promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})}
}

// scrape is the values of all series at one time.
type scrape struct {
	at       time.Time
	values   map[string]float64 // by name and labels, in Prometheus' notation
	counters map[string]bool    // the series that only grow
}

func (m *faultMetrics) scrape(t *testing.T) scrape {
	t.Helper()
	w := httptest.NewRecorder()
	s := scrape{at: time.Now(), values: map[string]float64{}, counters: map[string]bool{}}
	m.handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	counters := false
	for line := range strings.Lines(w.Body.String()) {
		line = strings.TrimSpace(line)
		if kind, ok := strings.CutPrefix(line, "# TYPE "); ok {
			counters = !strings.HasSuffix(kind, " gauge")
		}
		i := strings.LastIndexByte(line, ' ')
		name, labels, ok := strings.Cut(line, "{")
		if strings.HasPrefix(line, "#") || !ok || i < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[i+1:], 64)
		require.NoError(t, err, line)
		series := name + `{job="receiver",` + labels[:strings.LastIndexByte(labels, '}')+1]
		s.values[series], s.counters[series] = value, counters
	}
	require.NotEmpty(t, s.values)
	return s
}

// find returns the sum of the series whose names begin with a text and contain
// the others.
func (s scrape) find(begins string, contains ...string) (sum float64, found bool) {
	for series, v := range s.values {
		if strings.HasPrefix(series, begins) && !slices.ContainsFunc(contains, func(text string) bool { return !strings.Contains(series, text) }) {
			sum, found = sum+v, true
		}
	}
	return sum, found
}

const (
	readyMetric    = `deployhook_service_ready{`
	upMetric       = `deployhook_inbox_up{`
	requestsMetric = `deployhook_receiver_requests_total{`
	unavailable    = `deployhook_outcome="unavailable"`
)

// refused returns how many requests a second the service refused in a phase.
func refused(phase [2]scrape) float64 {
	begin, _ := phase[0].find(requestsMetric, unavailable)
	end, _ := phase[1].find(requestsMetric, unavailable)
	return (end - begin) / phase[1].at.Sub(phase[0].at).Seconds()
}

// metrics describes those that show the fault.
func (r *faultReport) metrics() []string {
	healthy, _ := r.healthy[1].find(readyMetric)
	broken, _ := r.broken[1].find(readyMetric)
	all := []string{fmt.Sprintf("`deployhook.service.ready` %v → %v", healthy, broken)}
	if rate := refused(r.broken); rate > 0 {
		all = append(all, fmt.Sprintf("`deployhook.receiver.requests` with outcome unavailable %.0f/s → %.0f/s", refused(r.healthy), rate))
	}
	if up, ok := r.broken[1].find(upMetric); ok && up == 0 {
		all = append(all, "`deployhook.inbox.up` 1 → 0")
	}
	return all
}

// checkAlerts evaluates the alerts with the values of the run. No alert fires
// before the fault. After it, exactly those fire that are for it.
func (r *faultReport) checkAlerts(t *testing.T, promtool string) {
	t.Helper()
	healthy, _ := r.healthy[1].find(readyMetric)
	broken, _ := r.broken[1].find(readyMetric)
	require.Equal(t, []float64{1, 0}, []float64{healthy, broken}, "%s: readiness", r.name)
	require.Equal(t, r.accepts, refused(r.broken) == 0, "%s: refused requests", r.name)
	up, found := r.broken[1].find(upMetric)
	require.Equal(t, r.down, found && up == 0, "%s: the database of the inbox", r.name)

	r.alerts = []string{"DeployhookNotReady"}
	if !r.accepts {
		r.alerts = append(r.alerts, "DeployhookStoreRefuses")
	}
	file := filepath.Join(t.TempDir(), "alerts_test.yml")
	require.NoError(t, os.WriteFile(file, []byte(r.ruleTest(t)), 0o600))
	out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", file).CombinedOutput()
	require.NoError(t, err, "%s: %s", r.name, out)
}

// ruleTest returns a file for promtool test rules. Its series are those of the
// run, made longer.
func (r *faultReport) ruleTest(t *testing.T) string {
	t.Helper()
	rules, err := filepath.Abs(rulesFile)
	require.NoError(t, err)
	var text strings.Builder
	fmt.Fprintf(&text, "rule_files: [%q]\nevaluation_interval: %[2]v\ntests:\n  - interval: %[2]v\n    input_series:\n", rules, seriesEvery)
	all := maps.Clone(r.healthy[1].values)
	maps.Copy(all, r.broken[1].values)
	for _, series := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "      - {series: '%s', values: '%s'}\n", series, r.values(series))
	}
	text.WriteString("    promql_expr_test:\n")
	const firing = `count by (alertname) (ALERTS{alertstate="firing"})`
	fmt.Fprintf(&text, "      - {expr: '%s', eval_time: %v, exp_samples: []}\n", firing, phaseValues*seriesEvery)
	fmt.Fprintf(&text, "      - expr: '%s'\n        eval_time: %v\n        exp_samples:\n", firing, (2*phaseValues-1)*seriesEvery)
	for _, name := range r.alerts {
		fmt.Fprintf(&text, "          - {labels: '{alertname=%q}', value: 1}\n", name)
	}
	return text.String()
}

// values returns the values of a series in both phases. A gauge keeps its last
// value. A counter grows as fast as it did in the run.
func (r *faultReport) values(series string) string {
	var all []string
	last, known := 0.0, false
	for _, phase := range [][2]scrape{r.healthy, r.broken} {
		end, ok := phase[1].values[series]
		step := 0.0
		if phase[1].counters[series] {
			step = (end - phase[0].values[series]) * seriesEvery.Seconds() / phase[1].at.Sub(phase[0].at).Seconds()
		}
		for range phaseValues {
			switch {
			case !ok:
				all = append(all, "_")
				continue
			case !phase[1].counters[series], !known:
				last = end
			default:
				last += step
			}
			known = true
			all = append(all, strconv.FormatFloat(last, 'g', -1, 64))
		}
	}
	return strings.Join(all, " ")
}
