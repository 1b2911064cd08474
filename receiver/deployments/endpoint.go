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

// ErrNotLinked is wrapped by [receiver.Result].Err where a deployment was
// recorded and its pull requests could not be counted.
var ErrNotLinked = errors.New("deployments: the deployment is recorded, but its pull requests could not be linked")

// Endpoint takes the records of deployments as Periscope's deployment webhook
// does:
//
//	POST /api/webhooks/deployments
//
// Make it with [New]. The caller's organization is the principal that
// verification returns. With an API key that is the one that the key belongs
// to. Package receiver says what happens to a request. These answers are the
// endpoint's own:
//
//	a new deployment                         201 {"action":"created","deploymentId":42,"linkedPRs":3}
//	one that is on record                    200 {"action":"updated","deploymentId":42,"linkedPRs":3}
//	older than what is on record             200 {"action":"unchanged","deploymentId":42,"linkedPRs":3,"stale":true}
//	recorded, pull requests not counted      201 or 200 {…,"linkedPRs":0,"linkFailed":true}
//	invalid                                  400 {"error":"Invalid payload: commitSha must be a valid hex string (5-40 characters)"}
//	no API key, or one that is not known     401 {"error":"Invalid or missing API key"}
//	ledger down, slow or full                503, Retry-After
//
// In answers deploymentId is the number of the ledger's record. organizationSlug
// is a safety check: one that is not the caller's organization is invalid, and
// nothing tells whether there is such an organization.
//
// A retry is harmless, because the ledger knows a deployment by its organization
// and deploymentId. So no dedupe store takes part. The ledger also puts statuses
// that overtook each other in order, see [Apply]. Whoever captures a request can
// send it again and so write what its sender wrote once more, at worst over a
// later correction of the same status. API keys belong on TLS. A scheme that
// signs the time bounds how long a captured request is good for.
//
// With [WithLinker], successful deployments to production are linked to pull
// requests. [WithLinkedEnvironments] names other environments. The record is in
// the ledger before the linker is asked. A linker that fails, panics or takes too
// long costs only the number. The answer then says linkFailed, the log line has
// level Error, and the record is not Linked. Sending the deployment again links
// it. What has been linked is not counted again while its commits stay the same.
//
// Two deployments that have one ID by mistake overwrite each other's record. Such
// a [Contradiction] changes no answer. It costs a line of level Warn, counts in
// [Endpoint.Contradictions], and goes to [WithContradictionHook].
//
// An Endpoint is immutable, safe for concurrent use, and owns nothing that has
// to be closed. Ledger and linker stay the caller's.
type Endpoint struct {
	config
	ledger         Ledger
	receiver       *receiver.Receiver
	handler        http.Handler
	contradictions atomic.Uint64
}

var _ http.Handler = (*Endpoint)(nil)

// New returns the endpoint for what v vouches for, recorded in ledger. v must
// return a principal: take [signer.NewAPIKeys], [receiver.PerRequest], or a scheme
// with [signer.WithPrincipal]. What it verifies without one is answered with 503
// and not recorded. All configuration errors are reported at once and wrap
// [ErrConfig].
func New(v signer.Verifier, ledger Ledger, opts ...Option) (*Endpoint, error) {
	c, err := newConfig(opts)
	problems := []error{err}
	if nilable.IsNil(v) {
		problems = append(problems, configError("the verifier is nil; make one with signer.NewAPIKeys, say, and check its error"))
	}
	if nilable.IsNil(ledger) {
		problems = append(problems, configError("the ledger is nil; make one with NewMemoryLedger, say, and check its error"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if tenants, ok := v.(*receiver.TenantVerifier); ok {
		v = keyVerifier{tenants}
	}
	rcv, err := receiver.New(v, c.receiver()...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	e := &Endpoint{config: *c, ledger: ledger, receiver: rcv}
	e.handler = rcv.Records(e.decode, e.handle)
	return e, nil
}

// keyVerifier gives every refusal the answer for API keys. A TenantVerifier hides
// which kind of scheme a tenant has, and this endpoint is one that takes keys.
type keyVerifier struct{ *receiver.TenantVerifier }

func (v keyVerifier) Verify(r *http.Request, body []byte) (signer.Verified, error) {
	verified, err := v.TenantVerifier.Verify(r, body)
	if errors.Is(err, signer.ErrUnverified) {
		return signer.Verified{}, fmt.Errorf("%w: %w", signer.ErrInvalidAPIKey, err)
	}
	return verified, err
}

// ServeHTTP takes one delivery. An Endpoint that [New] did not make answers 503.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e == nil || e.handler == nil {
		slog.ErrorContext(r.Context(), "webhook delivery", slog.String("outcome", string(receiver.Unavailable)),
			slog.Any("error", configError("the Endpoint was not made with New; check the error of New")))
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"error":"Temporarily unavailable"}`) // the sender may have gone
		return
	}
	e.handler.ServeHTTP(w, r)
}

// decode rejects deliveries without a principal. Otherwise they would all share
// one organization.
func (e *Endpoint) decode(ctx context.Context, body []byte) (*payload.Deployment, error) {
	delivery, _ := receiver.FromContext(ctx)
	if delivery.Principal == "" {
		return nil, receiver.TryAgain(0, configError("New: the verifier returned no principal, and a deployment belongs to an "+
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

// handle records and links. Neither ends with the request: a pipeline that has
// hung up has still deployed.
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

// contradiction tells the operator of one.
func (e *Endpoint) contradiction(ctx context.Context, organization string, c *Contradiction) {
	if c == nil {
		return
	}
	e.contradictions.Add(1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hookLimit)
	defer cancel()
	e.faults.CallUntil(ctx, inHook, func() {
		e.logger.WarnContext(ctx, "two deployments have one ID; give each its own, or the later one overwrites the other's record",
			slog.String("principal", organization), slog.String("deployment_id", c.Received.DeploymentID),
			slog.String("differ", strings.Join(c.Members, ", ")))
		if e.contradicted != nil {
			e.contradicted(ctx, *c)
		}
	})
}

// Contradictions counts the contradictions since the Endpoint was made.
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

// attrs are the log line's fields besides those that every delivery has.
func (r *Recorded) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("action", r.action()), slog.Int64("record", r.ID), slog.Int("linked_prs", r.LinkedPRs)}
	if r.Stale {
		attrs = append(attrs, slog.Bool("stale", true),
			slog.String("recorded_status", string(r.Deployment.Status)), slog.String("transition", r.Transition.String()))
	}
	return attrs
}
