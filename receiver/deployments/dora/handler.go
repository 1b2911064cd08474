package dora

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/loglimit"
	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/signer"
)

// Defaults of the handler's options.
const (
	// DefaultReportTimeout bounds one request.
	DefaultReportTimeout = 30 * time.Second
	// DefaultReports bounds how many requests are computed at the same time.
	DefaultReports = 2
	// inLogger is the key of Handler.Faults.
	inLogger = "WithHandlerLogger"
	// defaultDays is the window of a request that names none: 13 weeks.
	defaultDays = 91
)

// HandlerOption configures [NewHandler].
type HandlerOption interface {
	applyToHandler(*Handler)
}

type handlerOption func(*Handler)

func (f handlerOption) applyToHandler(h *Handler) { f(h) }

// WithReportTimeout bounds one request. A longer one is answered with 503.
// Default: 30 seconds ([DefaultReportTimeout]). Zero is an error.
func WithReportTimeout(d time.Duration) HandlerOption {
	return handlerOption(func(h *Handler) { h.timeout = d })
}

// WithConcurrentReports bounds how many requests are computed at the same time.
// Others wait. Default: 2 ([DefaultReports]). Less than 1 is an error.
func WithConcurrentReports(n int) HandlerOption {
	return handlerOption(func(h *Handler) { h.concurrent = n })
}

// WithHandlerLogger sets where errors of the ledger and of the history go.
// Default: [slog.Default]. Nil is an error.
func WithHandlerLogger(l *slog.Logger) HandlerOption {
	return handlerOption(func(h *Handler) { h.logger = l })
}

// Handler serves reports over HTTP:
//
//	GET /api/metrics/dora?service=api&environment=production&from=2026-01-01&to=2026-04-01&zone=Europe/Berlin
//
// Make it with [NewHandler]. The caller's organization is the principal that
// verification returns, as for [deployments.Endpoint]. It changes nothing. All
// parameters are optional, and one with another name is an error:
//
//	service, environment   one of them only. An empty service is that of deployments without one
//	from, to               the first day, and the day after the last. Default: the 13 weeks up to today
//	zone                   an IANA time zone. Default: UTC
//	format                 json or csv. Default: json
//	evidence               false leaves out Report.Deployments and their commits. Default: true
//
// The answers are:
//
//	reports                      200 {"reports":[…]}, see Report, or text/csv, see WriteCSV
//	a parameter is invalid       400 {"error":"…"}
//	no key, or an unknown one    401 {"error":"Invalid or missing API key"}
//	another method               405
//	ledger down, or too slow     503, Retry-After
type Handler struct {
	verifier   signer.Verifier
	calculator *Calculator
	timeout    time.Duration
	concurrent int
	logger     *slog.Logger
	faults     *contain.Faults
	slots      chan struct{}
}

// NewHandler returns a handler that serves requests which v verifies. v must
// return a principal, as [signer.NewAPIKeys] does. All configuration errors are
// reported at once and wrap [ErrConfig].
func NewHandler(v signer.Verifier, c *Calculator, opts ...HandlerOption) (*Handler, error) {
	h := &Handler{verifier: v, calculator: c, timeout: DefaultReportTimeout, concurrent: DefaultReports, logger: slog.Default()}
	var problems []error
	for _, o := range opts {
		if o == nil {
			problems = append(problems, configError("NewHandler: a nil option was given; leave it out"))
			continue
		}
		o.applyToHandler(h)
	}
	if nilable.IsNil(v) {
		problems = append(problems, configError("NewHandler: the verifier is nil; make one with signer.NewAPIKeys and check its error"))
	}
	if c == nil || c.config == nil {
		problems = append(problems, configError("NewHandler: the calculator is nil; make one with New and check its error"))
	}
	if h.timeout <= 0 {
		problems = append(problems, configError("WithReportTimeout(%v): want more than zero", h.timeout))
	}
	if h.concurrent < 1 {
		problems = append(problems, configError("WithConcurrentReports(%d): want at least 1", h.concurrent))
	}
	if h.logger == nil {
		problems = append(problems, configError("WithHandlerLogger: the logger is nil; leave it out"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	h.logger = loglimit.Limit(h.logger)
	h.slots, h.faults = make(chan struct{}, h.concurrent), contain.New("dora", h.logger.Handler())
	return h, nil
}

// Faults returns how often the logger panicked, ended its goroutine with
// runtime.Goexit, or did not return before the request ended. The key is
// "WithHandlerLogger". Faults of the ledger, the history and the marker are
// errors of the report.
func (h *Handler) Faults() map[string]uint64 {
	if h == nil || h.faults == nil {
		return map[string]uint64{}
	}
	return h.faults.Counts()
}

// log writes the reason of an answer of 503.
func (h *Handler) log(ctx context.Context, attrs ...slog.Attr) {
	fault := contain.CallUntil(ctx, func() { h.logger.LogAttrs(ctx, slog.LevelError, "metrics", attrs...) })
	if fault != nil {
		h.faults.Count(inLogger)
	}
}

// ServeHTTP serves one request. A Handler that [NewHandler] did not make
// answers 503.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if h == nil || h.slots == nil {
		unavailable(w)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, http.StatusMethodNotAllowed, "Method not allowed")
		return
	}
	verified, err := h.verifier.Verify(r, nil)
	switch {
	case errors.Is(err, signer.ErrUnverified):
		fail(w, http.StatusUnauthorized, "Invalid or missing API key")
		return
	case err == nil && verified.Principal == "":
		err = configError("NewHandler: the verifier returned no principal; use signer.NewAPIKeys, or signer.WithPrincipal")
	}
	if err != nil {
		h.log(r.Context(), slog.Any("error", err))
		unavailable(w)
		return
	}
	q, err := parseQuery(r.URL.Query(), time.Now())
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	h.serve(w, r, verified.Principal, q)
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, organization string, q query) {
	ctx, cancel := context.WithTimeout(r.Context(), h.timeout)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		unavailable(w)
		return
	}
	reports, err := h.reports(ctx, organization, q)
	if err != nil {
		h.log(r.Context(), slog.String("principal", organization), slog.Any("error", err))
		unavailable(w)
		return
	}
	var body bytes.Buffer
	if q.csv {
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="dora.csv"`)
		err = WriteCSV(&body, reports)
	} else {
		w.Header().Set("Content-Type", "application/json")
		err = json.NewEncoder(&body).Encode(struct {
			Reports []*Report `json:"reports"`
		}{reports})
	}
	if err != nil {
		h.log(r.Context(), slog.Any("error", err))
		unavailable(w)
		return
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body.Bytes()) // the caller may have gone
}

// reports computes those of the scopes that were asked for.
func (h *Handler) reports(ctx context.Context, organization string, q query) ([]*Report, error) {
	scopes, err := h.calculator.Scopes(ctx, organization)
	if err != nil {
		return nil, err
	}
	reports := []*Report{}
	for _, s := range scopes {
		if !q.wants(s) {
			continue
		}
		r, err := h.calculator.Report(ctx, organization, s, q.window)
		if err != nil {
			return nil, err
		}
		if q.brief {
			r.Deployments = nil
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// query is what a request asks for.
type query struct {
	service, environment *string
	window               Window
	csv, brief           bool
}

func (q query) wants(s deployments.Scope) bool {
	return (q.service == nil || *q.service == s.Service) && (q.environment == nil || *q.environment == s.Environment)
}

// problem is an error for the caller, without names of Go.
type problem string

func (p problem) Error() string { return string(p) }

func parseQuery(values map[string][]string, now time.Time) (query, error) {
	var q query
	given := map[string]string{"zone": "UTC", "format": "json", "evidence": "true"}
	for name, list := range values {
		if len(list) != 1 {
			return q, problem("Invalid parameter: " + quoted(name) + " must be given once")
		}
		switch name {
		case "service":
			q.service = &list[0]
		case "environment":
			q.environment = &list[0]
		case "from", "to", "zone", "format", "evidence":
			given[name] = list[0]
		default:
			return q, problem("Invalid parameter: " + quoted(name) + " is not one of service, environment, from, to, zone, format, evidence")
		}
	}
	if given["format"] != "json" && given["format"] != "csv" {
		return q, problem("Invalid parameter: format must be json or csv")
	}
	if given["evidence"] != "true" && given["evidence"] != "false" {
		return q, problem("Invalid parameter: evidence must be true or false")
	}
	q.csv, q.brief = given["format"] == "csv", given["evidence"] == "false"
	var err error
	q.window, err = windowOf(given["zone"], given["from"], given["to"], now)
	if err != nil {
		return q, problem("Invalid parameter: want from and to as days such as 2026-01-31, to after from, at most 100 years, and zone as an IANA time zone such as Europe/Berlin")
	}
	return q, nil
}

// windowOf fills in the days that were not given.
func windowOf(zone, from, to string, now time.Time) (Window, error) {
	location, err := time.LoadLocation(zone)
	if err != nil {
		return Window{}, err
	}
	if to == "" {
		to = now.In(location).AddDate(0, 0, 1).Format(time.DateOnly)
	}
	if from == "" {
		end, err := time.Parse(time.DateOnly, to)
		if err != nil {
			return Window{}, err
		}
		from = end.AddDate(0, 0, -defaultDays).Format(time.DateOnly)
	}
	return NewWindow(zone, from, to)
}

func quoted(name string) string {
	text, _ := json.Marshal(name[:min(len(name), 50)])
	return string(text)
}

func unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "5")
	fail(w, http.StatusServiceUnavailable, "Temporarily unavailable")
}

func fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": message}) // the caller may have gone
}
