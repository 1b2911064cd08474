package deployments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// IncidentDecoder reads an incident from a verified body. It must be safe for
// concurrent use. An error that wraps [payload.ErrIgnored] means that the event
// is not about an incident. An error that wraps [payload.ErrInvalid] means that
// it is about an incident but invalid.
type IncidentDecoder func(ctx context.Context, body []byte) (*payload.Incident, error)

// IncidentEndpoint records incidents. Make it with [NewIncidents]:
//
//	POST /api/webhooks/incidents
//
// The caller's organization is the principal that verification returns, as for
// [Endpoint]. Package receiver describes what happens to a request. These
// answers are the endpoint's own:
//
//	a new incident                        201 {"action":"created","incidentId":"7"}
//	one that is on record                 200 {"action":"updated","incidentId":"7"}
//	nothing new                           200 {"action":"unchanged","incidentId":"7"}
//	not about an incident                 200 {"received":true,"ignored":true}
//	invalid                               400 {"error":"Invalid payload: openedAt is required"}
//	no API key, or an unknown one         401 {"error":"Invalid or missing API key"}
//	ledger down, slow or full             503, Retry-After
//
// A retry is harmless, since the ledger finds an incident by its organization
// and ID, and keeps the newest of what arrives in any order, see
// [ApplyIncident].
//
// An IncidentEndpoint is immutable, safe for concurrent use, and need not be
// closed.
type IncidentEndpoint struct {
	config
	ledger   Ledger
	receiver *receiver.Receiver
	handler  http.Handler
}

var _ http.Handler = (*IncidentEndpoint)(nil)

// WithIncidentDecoder sets how [NewIncidents] reads bodies, for webhooks of
// other systems. It may take as long as [WithLedgerTimeout] allows. Default:
// [payload.DecodeIncident]. Nil is an error.
func WithIncidentDecoder(decode IncidentDecoder) Option {
	return optionFunc(func(c *config) {
		if decode == nil {
			c.problems = append(c.problems, configError("WithIncidentDecoder: the decoder is nil; check the error of its constructor, or leave the option out"))
		}
		c.decodeIncident = decode
	})
}

// NewIncidents returns the endpoint for incidents of senders that v accepts. v
// must return a principal, as for [New]. The options for links and
// contradictions are errors here. All configuration errors are reported at once
// and wrap [ErrConfig].
func NewIncidents(v signer.Verifier, ledger Ledger, opts ...Option) (*IncidentEndpoint, error) {
	c, err := newConfig(opts)
	problems := []error{err}
	if nilable.IsNil(v) {
		problems = append(problems, configError("the verifier is nil; make one with signer.NewAPIKeys, say, and check its error"))
	}
	if nilable.IsNil(ledger) {
		problems = append(problems, configError("the ledger is nil; make one with NewMemoryLedger, say, and check its error"))
	}
	if c.linkerGiven || c.contradicted != nil {
		problems = append(problems, configError("WithLinker, WithContradictionHook: NewIncidents has no use for them; leave them out"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if tenants, ok := v.(*receiver.TenantVerifier); ok {
		v = keyVerifier{tenants}
	}
	rcv, err := receiver.New(v, c.receiver("incidents")...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if c.decodeIncident == nil {
		c.decodeIncident = func(_ context.Context, body []byte) (*payload.Incident, error) { return payload.DecodeIncident(body) }
	}
	e := &IncidentEndpoint{config: *c, ledger: ledger, receiver: rcv}
	e.handler = rcv.Wrap(http.HandlerFunc(e.serve))
	return e, nil
}

// ServeHTTP takes one delivery. An IncidentEndpoint that [NewIncidents] did not
// make answers 503.
func (e *IncidentEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e == nil || e.handler == nil {
		notMade(w, r, "the IncidentEndpoint was not made with NewIncidents; check the error of NewIncidents")
		return
	}
	e.handler.ServeHTTP(w, r)
}

// Faults is [Endpoint.Faults] for an endpoint of incidents. The key of the
// decoder is "WithIncidentDecoder".
func (e *IncidentEndpoint) Faults() map[string]uint64 {
	if e == nil || e.faults == nil {
		return map[string]uint64{}
	}
	counts := e.faults.Counts()
	for name, n := range e.receiver.Faults() {
		counts[name] += n
	}
	return counts
}

// serve handles a verified delivery.
func (e *IncidentEndpoint) serve(w http.ResponseWriter, r *http.Request) {
	delivery, _ := receiver.FromContext(r.Context())
	body, err := io.ReadAll(r.Body)
	if err == nil && delivery.Principal == "" {
		err = configError("NewIncidents: the verifier returned no principal, and an incident belongs to an organization; " +
			"give the scheme signer.WithPrincipal, or use signer.NewAPIKeys or receiver.PerRequest")
	}
	if err != nil {
		e.unavailable(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), e.ledgerTimeout)
	defer cancel()
	incident, err := call(ctx, e.faults, inDecoder, func(ctx context.Context) (*payload.Incident, error) {
		return e.decodeIncident(ctx, body)
	})
	switch {
	case errors.Is(err, payload.ErrIgnored):
		answerJSON(w, http.StatusOK, map[string]any{"received": true, "ignored": true})
	case errors.Is(err, payload.ErrInvalid):
		delivery.AddAttrs(slog.Any("invalid", err))
		answerJSON(w, http.StatusBadRequest, map[string]any{"error": reasonOf(err)})
	case err == nil && incident == nil:
		e.unavailable(w, r, configError("WithIncidentDecoder: the decoder returned neither an incident nor an error"))
	case err != nil:
		e.unavailable(w, r, err)
	default:
		e.record(w, r, delivery, incident)
	}
}

// record does not end with the request: an incident that was reported is one.
func (e *IncidentEndpoint) record(w http.ResponseWriter, r *http.Request, delivery *receiver.Delivery, i *payload.Incident) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), e.ledgerTimeout)
	defer cancel()
	recorded, err := call(ctx, e.faults, inLedger, func(ctx context.Context) (RecordedIncident, error) {
		return e.ledger.RecordIncident(ctx, delivery.Principal, i)
	})
	if err != nil {
		e.unavailable(w, r, fmt.Errorf("deployments: ledger: %w", err))
		return
	}
	status, action := http.StatusOK, "unchanged"
	switch {
	case recorded.Created:
		status, action = http.StatusCreated, "created"
	case recorded.Changed:
		action = "updated"
	}
	delivery.AddAttrs(slog.String("action", action), slog.String("incident_id", i.IncidentID))
	answerJSON(w, status, struct {
		Action     string `json:"action"`
		IncidentID string `json:"incidentId"`
	}{action, i.IncidentID})
}

// unavailable answers 503, so that the sender tries again. The log line has the
// reason.
func (e *IncidentEndpoint) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	e.limited.ErrorContext(r.Context(), "an incident could not be recorded", slog.Any("error", err))
	w.Header().Set("Retry-After", "5")
	answerJSON(w, http.StatusServiceUnavailable, map[string]any{"error": "Temporarily unavailable"})
}

// reasonOf tells the sender what is wrong. Text that a decoder wraps around it
// is only for the operator's log.
func reasonOf(err error) string {
	var invalid *payload.ValidationError
	if errors.As(err, &invalid) {
		return invalid.Error()
	}
	return "Invalid payload"
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // of strings and booleans alone
		text = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the sender may have gone
}
