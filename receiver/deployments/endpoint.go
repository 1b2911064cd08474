package deployments

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// ErrNotLinked is wrapped by [receiver.Result].Err if a deployment was recorded
// but its pull requests could not be counted.
var ErrNotLinked = errors.New("deployments: the deployment is recorded, but its pull requests could not be linked")

// Endpoint receives deployment records, compatible with Periscope's deployment
// webhook:
//
//	POST /api/webhooks/deployments
//
// Make it with [New]. The organization is the principal that verification
// returns, which is the owner of the API key. Package receiver documents the
// steps of a request. The endpoint adds these answers:
//
//	a new deployment             201 {"action":"created","deploymentId":42,"linkedPRs":3}
//	a recorded deployment        200 {"action":"updated","deploymentId":42,"linkedPRs":3}
//	older than the record        200 {"action":"unchanged",…,"stale":true}
//	pull requests not counted    201 or 200 {…,"linkedPRs":0,"linkFailed":true}
//	invalid                      400 {"error":"Invalid payload: deploymentId is required"}
//	missing or unknown API key   401 {"error":"Invalid or missing API key"}
//	ledger down, slow or full    503, Retry-After
//
// In answers deploymentId is the number of the ledger's record. If
// organizationSlug is present, it must be the caller's organization. Otherwise
// the delivery is invalid, and the answer does not reveal whether such an
// organization exists.
//
// # Retries and replays
//
// The ledger identifies a deployment by its organization and deploymentId, so a
// retry is harmless and no dedupe store is needed. [Apply] also orders statuses
// that overtook each other.
//
// An attacker who captures a request can send it again. That repeats what its
// sender wrote, at worst over a later correction of the same status. Use TLS
// with API keys. A scheme that signs the time limits how long a captured
// request is accepted.
//
// # Linking
//
// With [WithLinker], successful deployments to production are linked to the
// pull requests in all of their repositories. [WithLinkedEnvironments] selects
// other environments. The record is stored before the linker is called. If the
// linker fails, panics or takes too long, only the number is missing. The
// answer then has linkFailed, the log line has level Error, and the record is
// not Linked. Sending the deployment again links it. Linked pull requests are
// not counted again while the commits stay the same.
//
// # Contradictions
//
// Two deployments that share an ID by mistake overwrite each other's record.
// Such a [Contradiction] does not change the answer. It is logged at level
// Warn, counted by [Endpoint.Contradictions], and passed to
// [WithContradictionHook].
//
// An Endpoint is immutable and safe for concurrent use. It owns nothing that
// needs closing. The caller closes ledger and linker.
type Endpoint struct {
	config
	ledger         Ledger
	receiver       *receiver.Receiver
	handler        http.Handler
	contradictions atomic.Uint64
}

var _ http.Handler = (*Endpoint)(nil)

// New returns the endpoint for requests that v verifies, and records them in
// ledger. It reports all configuration errors at once, and they wrap
// [ErrConfig].
//
// v must return a principal. Use [signer.NewAPIKeys], [receiver.PerRequest], or
// a scheme with [signer.WithPrincipal]. A delivery without a principal is
// answered with 503 and not recorded.
func New(v signer.Verifier, ledger Ledger, opts ...Option) (*Endpoint, error) {
	c, err := newConfig(opts)
	problems := []error{err}
	if nilable.IsNil(v) {
		problems = append(problems, configError("the verifier is nil; make one, for example with signer.NewAPIKeys, and check its error"))
	}
	if nilable.IsNil(ledger) {
		problems = append(problems, configError("the ledger is nil; make one, for example with NewMemoryLedger, and check its error"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if c.decodeIncident != nil {
		return nil, configError("WithIncidentDecoder: it is for NewIncidents; leave it out")
	}
	if tenants, ok := v.(*receiver.TenantVerifier); ok {
		v = keyVerifier{tenants}
	}
	rcv, err := receiver.New(v, c.receiver("deployments")...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	e := &Endpoint{config: *c, ledger: ledger, receiver: rcv}
	e.handler = rcv.Records(e.decode, e.handle)
	return e, nil
}

// keyVerifier gives every refusal of a TenantVerifier the answer for API keys.
// A TenantVerifier hides which kind of scheme a tenant has.
type keyVerifier struct{ *receiver.TenantVerifier }

func (v keyVerifier) Verify(r *http.Request, body []byte) (signer.Verified, error) {
	verified, err := v.TenantVerifier.Verify(r, body)
	if errors.Is(err, signer.ErrUnverified) {
		return signer.Verified{}, fmt.Errorf("%w: %w", signer.ErrInvalidAPIKey, err)
	}
	return verified, err
}

// ServeHTTP receives one delivery. An Endpoint that [New] did not make answers
// 503.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e == nil || e.handler == nil {
		notMade(w, r, "the Endpoint was not made with New; check the error of New")
		return
	}
	e.handler.ServeHTTP(w, r)
}

// notMade answers for an endpoint that no constructor made.
func notMade(w http.ResponseWriter, r *http.Request, why string) {
	slog.ErrorContext(r.Context(), "webhook delivery", slog.String("outcome", string(receiver.Unavailable)), slog.Any("error", configError("%s", why)))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Retry-After", "5")
	w.WriteHeader(http.StatusServiceUnavailable)
	// the connection may be gone
	_, _ = io.WriteString(w, `{"error":"Temporarily unavailable"}`)
}

// decode rejects deliveries without a principal. Otherwise they would all share
// one organization.
func (e *Endpoint) decode(ctx context.Context, body []byte) (*payload.Deployment, error) {
	delivery, _ := receiver.FromContext(ctx)
	if delivery.Principal == "" {
		return nil, receiver.TryAgain(0, configError("New: the verifier returned no principal, but every deployment belongs to an "+
			"organization; give the scheme signer.WithPrincipal, or use signer.NewAPIKeys or receiver.PerRequest"))
	}
	d, err := payload.DecodeDeployment(body)
	if err != nil {
		return nil, err
	}
	if slug := d.OrganizationSlug; slug != "" && slug != delivery.Principal {
		return nil, &payload.ValidationError{Failures: []payload.Failure{
			{Path: "organizationSlug", Message: "must be the organization that the key belongs to"},
		}}
	}
	return d, nil
}

// handle records and links. Neither step ends with the request, because a
// pipeline that disconnected has still deployed.
func (e *Endpoint) handle(ctx context.Context, d *payload.Deployment) error {
	delivery, _ := receiver.FromContext(ctx)
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.ledgerTimeout)
	defer cancel()
	recorded, err := call(limited, e.faults, inLedger, func(ctx context.Context) (Recorded, error) {
		return e.ledger.Record(ctx, delivery.Principal, d)
	})
	if err != nil {
		return receiver.TryAgain(0, fmt.Errorf("deployments: ledger: %w", err))
	}
	e.contradiction(ctx, delivery.Principal, recorded.Contradiction)
	unlinked, linkErr := e.link(ctx, delivery.Principal, &recorded)
	delivery.Reply(recorded.answer(unlinked))
	delivery.AddAttrs(recorded.attrs()...)
	if linkErr != nil {
		return receiver.Incomplete(fmt.Errorf("%w: %w", ErrNotLinked, linkErr))
	}
	return nil
}

// contradiction counts and logs a contradiction and calls the hook.
func (e *Endpoint) contradiction(ctx context.Context, organization string, c *Contradiction) {
	if c == nil {
		return
	}
	e.contradictions.Add(1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hookLimit)
	defer cancel()
	e.faults.CallUntil(ctx, inHook, func() {
		e.limited.WarnContext(ctx, "two deployments have one ID; give each its own, or the later one overwrites the other's record",
			slog.String("principal", organization), slog.String("deployment_id", c.Received.DeploymentID),
			slog.String("differ", strings.Join(c.Members, ", ")))
		if e.contradicted != nil {
			e.contradicted(ctx, *c)
		}
	})
}

// Contradictions returns the number of contradictions since the Endpoint was
// made.
func (e *Endpoint) Contradictions() uint64 { return e.contradictions.Load() }

func (r *Recorded) action() string {
	switch {
	case r.Created:
		return "created"
	case r.Stale:
		return "unchanged"
	}
	return "updated"
}

func (r *Recorded) answer(unlinked bool) (status int, body []byte) {
	status = http.StatusOK
	if r.Created {
		status = http.StatusCreated
	}
	body = fmt.Appendf(nil, `{"action":%q,"deploymentId":%d,"linkedPRs":%d`, r.action(), r.ID, r.LinkedPRs)
	if r.Stale {
		body = append(body, `,"stale":true`...)
	}
	if unlinked {
		body = append(body, `,"linkFailed":true`...)
	}
	return status, append(body, '}')
}

// attrs returns the endpoint's additional fields of the log line.
func (r *Recorded) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("action", r.action()), slog.Int64("record", r.ID), slog.Int("linked_prs", r.LinkedPRs)}
	if r.Stale {
		attrs = append(attrs, slog.Bool("stale", true),
			slog.String("recorded_status", string(r.Deployment.Status)), slog.String("transition", r.Transition.String()))
	}
	return attrs
}
