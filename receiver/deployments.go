package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"runtime/debug"
	"slices"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/signer"
)

// ErrNotLinked is wrapped by [Result].Err where a deployment was recorded and its pull requests could not be counted.
var ErrNotLinked = errors.New("receiver: the deployment is recorded, but its pull requests could not be linked")

// Deployments is the endpoint that takes the records of deployments as Periscope's deployment webhook does:
//
//	POST /api/webhooks/deployments
//
// Make it with [NewDeployments]. The caller's organization is the principal that verification returns, with an API key the one that
// the key belongs to. What happens to a request, and what the peer is told, is what the package says of all of them, with these
// answers of its own:
//
//	a new deployment                         201 {"action":"created","deploymentId":42,"linkedPRs":3}
//	one that is on record                    200 {"action":"updated","deploymentId":42,"linkedPRs":3}
//	older than what is on record             200 {"action":"unchanged","deploymentId":42,"linkedPRs":3,"stale":true}
//	recorded, pull requests not counted      201 or 200 {…,"linkedPRs":0,"linkFailed":true}
//	invalid                                  400 {"error":"Invalid payload: commitSha must be a valid hex string (5-40 characters)"}
//	no API key, or one that is not known     401 {"error":"Invalid or missing API key"}
//	ledger down, slow or full                503, Retry-After
//
// In answers deploymentId is the number of the ledger's record. organizationSlug is a safety check: one that is not the
// caller's organization is invalid, and nothing tells whether there is such an organization.
//
// A retry is harmless: the ledger knows a deployment by its organization and deploymentId, so no dedupe store takes part. It
// also puts statuses that overtook each other in order, see [deployments.Apply]. Whoever captures a request can send it again
// as with [InsecureNoDedupe], and so write what its sender wrote once more, over a later correction of the same status
// at worst: API keys belong on TLS, and a scheme that signs the time bounds how long.
//
// With [WithLinker], successful deployments to production ([WithLinkedEnvironments] for others) are linked to pull requests.
// The record comes first: it is in the ledger before the linker is asked, and a linker that fails, panics or takes too long
// costs only the number. That is never passed off as none: the answer says linkFailed, the log line is of level Error, the record
// is not Linked, and sending the deployment again links it. What has been linked is not counted again while its
// commits stay the same.
//
// A Deployments is immutable, safe for concurrent use, and owns nothing that has to be closed; ledger and linker stay the
// caller's.
type Deployments struct {
	rc           *Receiver
	ledger       deployments.Ledger
	linker       deployments.Linker // nil: none
	environments []string
	linkTimeout  time.Duration
}

var _ http.Handler = (*Deployments)(nil)

// NewDeployments returns the endpoint for what v vouches for, recorded in ledger. v must return a principal: take
// [signer.NewAPIKeys], [PerRequest], or a scheme with [signer.WithPrincipal]. What it verifies without one is answered with 503 and not recorded.
//
// Options: [WithLinker], [WithLinkedEnvironments], [WithLinkTimeout], [WithMaxBody], [WithBodyTimeout], [WithLogger],
// [WithObserver], and [WithStoreTimeout], which bounds each call to the ledger here. All configuration errors are reported at once
// and wrap [ErrConfig].
func NewDeployments(v signer.Verifier, ledger deployments.Ledger, opts ...Option) (*Deployments, error) {
	own, c, err := newDeploymentsConfig(opts)
	problems := []error{err}
	if isNilValue(v) {
		problems = append(problems, configError("the verifier is nil; make one with signer.NewAPIKeys, say, and check its error"))
	}
	if isNilValue(ledger) {
		problems = append(problems, configError("the ledger is nil; make one with NewMemoryLedger, say, and check its error"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &Deployments{
		rc:     &Receiver{config: *c, verifier: principalVerifier{v}},
		ledger: ledger, linker: own.linker, environments: own.environments, linkTimeout: own.linkTimeout,
	}, nil
}

// isNilValue also finds a nil pointer in an interface.
func isNilValue(v any) bool {
	if v == nil {
		return true
	}
	value := reflect.ValueOf(v)
	return value.Kind() == reflect.Pointer && value.IsNil()
}

// principalVerifier lets nothing through that belongs to nobody: all of it would be one organization's.
type principalVerifier struct{ signer.Verifier }

func (v principalVerifier) Verify(r *http.Request, body []byte) (signer.Verified, error) {
	verified, err := v.Verifier.Verify(r, body)
	if _, ok := v.Verifier.(*perRequest); ok && errors.Is(err, signer.ErrUnverified) {
		// PerRequest hides which kind of scheme a tenant has. This endpoint is one that takes keys.
		return signer.Verified{}, fmt.Errorf("%w: %w", signer.ErrInvalidAPIKey, err)
	}
	if err == nil && verified.Principal == "" {
		return signer.Verified{}, configError("the verifier returned no principal, and a deployment belongs to an organization; " +
			"give the scheme signer.WithPrincipal, or use signer.NewAPIKeys or PerRequest")
	}
	return verified, err
}

// ServeHTTP takes one delivery.
func (h *Deployments) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := deploymentConsumer{h: h}
	var res Result
	a := h.rc.process(w, r, &c, start, &res)
	if res.Outcome == Handled && c.linkErr != nil {
		res.Err = fmt.Errorf("%w: %w", ErrNotLinked, c.linkErr)
	}
	res.Status = a.status
	a.closes = a.closes && r.ProtoMajor < 2 // over HTTP/2 it would end the other streams as well
	a.write(w)
	res.Duration = time.Since(start)
	h.report(r, &res, &c)
}

// report is Receiver.report with what is particular to deployments.
func (h *Deployments) report(r *http.Request, res *Result, c *deploymentConsumer) {
	ctx := r.Context()
	level := res.level()
	if c.linkErr != nil {
		level = slog.LevelError
	}
	if h.rc.logger.Enabled(ctx, level) {
		h.rc.logger.LogAttrs(ctx, level, "webhook delivery", append(res.attrs(h.rc, r), c.attrs()...)...)
	}
	if h.rc.observer != nil {
		h.rc.observer(ctx, *res)
	}
}

// deploymentConsumer handles one delivery.
type deploymentConsumer struct {
	h          *Deployments
	deployment *payload.Deployment
	recorded   *deployments.Recorded
	linkErr    error // of this or of a shifted deployment
	unlinked   bool  // it was this one's
}

func (c *deploymentConsumer) prepare(_ *http.Request, d *Delivery) (err error) {
	c.deployment, err = payload.DecodeDeployment(d.Body)
	if err != nil {
		return err
	}
	d.Deployment = c.deployment
	if slug := c.deployment.OrganizationSlug; slug != "" && slug != d.Principal {
		return &payload.ValidationError{Failures: []payload.Failure{
			{Path: "organizationSlug", Message: "must be the organization that the key belongs to"},
		}}
	}
	return nil
}

// consume records and links. Neither ends with the request: a pipeline that has hung up still has deployed.
func (c *deploymentConsumer) consume(_ context.Context, r *http.Request, d *Delivery) (answer, error) {
	var recorded deployments.Recorded
	err := c.call(r, d, c.h.rc.storeTimeout, func(ctx context.Context) (err error) {
		recorded, err = c.h.ledger.Record(ctx, d.Principal, c.deployment)
		return err
	})
	if err != nil {
		return unavailableAnswer(), TryAgain(0, fmt.Errorf("receiver: ledger: %w", err))
	}
	c.recorded = &recorded
	c.linkErr = c.link(r, d)
	return c.answer(), nil
}

// call runs one call to the ledger or the linker, and contains its panics.
func (c *deploymentConsumer) call(r *http.Request, d *Delivery, timeout time.Duration, f func(context.Context) error) error {
	ctx := &lazyContext{parent: r.Context(), detached: true, deadline: time.Now().Add(timeout), delivery: d}
	defer ctx.end(nil)
	return contained(func() error { return f(ctx) })
}

// link counts the pull requests of what was recorded, and anew those of the records that it shifted.
func (c *deploymentConsumer) link(r *http.Request, d *Delivery) error {
	if c.h.linker == nil || c.recorded.Stale {
		return nil
	}
	return c.call(r, d, c.h.linkTimeout, func(ctx context.Context) error {
		err := c.linkRecord(ctx, d.Principal, &c.recorded.Record)
		c.unlinked = err != nil
		for i := range c.recorded.Shifted {
			err = errors.Join(err, c.linkRecord(ctx, d.Principal, &c.recorded.Shifted[i]))
		}
		return err
	})
}

func (c *deploymentConsumer) linkRecord(ctx context.Context, organization string, r *deployments.Record) error {
	if r.Linked || r.Deployment.Status != payload.StatusSuccess || !slices.Contains(c.h.environments, r.Deployment.Environment) {
		return nil
	}
	link := r.Link(organization)
	prs, err := c.h.count(ctx, link)
	if err != nil {
		return fmt.Errorf("deployment %q: %w", link.DeploymentID, err)
	}
	if err := c.h.ledger.SetLinked(ctx, link, prs); err != nil {
		return fmt.Errorf("deployment %q: %d pull requests, not stored: %w", link.DeploymentID, prs, err)
	}
	r.Linked, r.LinkedPRs = true, prs
	return nil
}

// count asks the linker. Its panics are contained for each link by itself, so that one does not cost the others.
func (h *Deployments) count(ctx context.Context, link deployments.Link) (prs int, err error) {
	defer func() {
		if value := recover(); value != nil {
			prs, err = 0, &panicError{value: value, stack: debug.Stack()}
		}
	}()
	prs, err = h.linker.LinkedPRs(ctx, link)
	switch {
	case err != nil:
		return 0, err
	case prs < 0:
		return 0, fmt.Errorf("receiver: the linker returned %d pull requests", prs)
	}
	return prs, nil
}

func (c *deploymentConsumer) action() string {
	switch {
	case c.recorded.Created:
		return "created"
	case c.recorded.Stale:
		return "unchanged"
	}
	return "updated"
}

func (c *deploymentConsumer) answer() answer {
	a := answer{status: http.StatusOK}
	if c.recorded.Created {
		a.status = http.StatusCreated
	}
	a.body = fmt.Sprintf(`{"action":%q,"deploymentId":%d,"linkedPRs":%d`, c.action(), c.recorded.ID, c.recorded.LinkedPRs)
	if c.recorded.Stale {
		a.body += `,"stale":true`
	}
	if c.unlinked {
		a.body += `,"linkFailed":true`
	}
	a.body += "}"
	return a
}

// attrs are the log line's fields beside those that every delivery has.
func (c *deploymentConsumer) attrs() []slog.Attr {
	if c.deployment == nil {
		return nil
	}
	if c.recorded == nil {
		return nil
	}
	attrs := []slog.Attr{slog.String("action", c.action()), slog.Int64("record", c.recorded.ID), slog.Int("linked_prs", c.recorded.LinkedPRs)}
	if c.recorded.Stale {
		attrs = append(attrs, slog.Bool("stale", true),
			slog.String("recorded_status", string(c.recorded.Deployment.Status)), slog.String("transition", c.recorded.Transition.String()))
	}
	return attrs
}
