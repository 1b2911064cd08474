package deployments_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// countingLinker records its calls and answers 3.
type countingLinker struct {
	mu    sync.Mutex
	links []deployments.Link
	fail  func(ctx context.Context) error
}

func (l *countingLinker) LinkedPRs(ctx context.Context, link deployments.Link) (int, error) {
	l.mu.Lock()
	l.links = append(l.links, link)
	fail := l.fail
	l.mu.Unlock()
	if fail != nil {
		if err := fail(ctx); err != nil {
			return 0, err
		}
	}
	return 3, nil
}

func TestLink_OnlySuccessfulProduction(t *testing.T) {
	t.Parallel()
	linker := &countingLinker{}
	h := newDeployments(t, newLedger(t), deployments.WithLinker(linker))
	for _, status := range []payload.Status{
		payload.StatusPending, payload.StatusInProgress, payload.StatusFailure, payload.StatusCancelled, payload.StatusRolledBack,
	} {
		require.Contains(t, deploy(h, acmeKey, body(t, testDeployment(string(status), status))).Body.String(), `"linkedPRs":0}`)
	}
	staging := testDeployment("staging", payload.StatusSuccess)
	staging.Environment = "staging"
	require.Contains(t, deploy(h, acmeKey, body(t, staging)).Body.String(), `"linkedPRs":0}`)
	require.Empty(t, linker.links)

	d := testDeployment("a", payload.StatusSuccess)
	d.PreviousCommitSHA = "f9e8d7c6b5"
	require.Contains(t, deploy(h, acmeKey, body(t, d)).Body.String(), `"linkedPRs":3}`)
	require.Equal(t, []deployments.Link{{
		Organization: "acme", DeploymentID: "a", Service: "api", Environment: "production", Commit: d.CommitSHA, PreviousCommit: "f9e8d7c6b5",
	}}, linker.links)

	// An update that is not linked returns the recorded number.
	require.Contains(t, deploy(h, acmeKey, body(t, testDeployment("a", payload.StatusRolledBack))).Body.String(), `"action":"updated","deploymentId":7,"linkedPRs":3}`)
	require.Len(t, linker.links, 1)
}

func TestLinkedEnvironments(t *testing.T) {
	t.Parallel()
	linker := &countingLinker{}
	h := newDeployments(t, newLedger(t), deployments.WithLinker(linker), deployments.WithLinkedEnvironments("prod", "staging"))
	for environment, linked := range map[string]bool{"prod": true, "staging": true, "production": false, "Prod": false} {
		d := testDeployment(environment, payload.StatusSuccess)
		d.Environment = environment
		require.Equal(t, linked, strings.Contains(deploy(h, acmeKey, body(t, d)).Body.String(), `"linkedPRs":3}`), environment)
	}
}

// A retry returns the stored number, even if the linker would now return
// another.
func TestLink_RetryDoesNotLinkAgain(t *testing.T) {
	t.Parallel()
	linker := &countingLinker{}
	h := newDeployments(t, newLedger(t), deployments.WithLinker(linker))
	d := testDeployment("a", payload.StatusSuccess)
	require.Equal(t, 201, deploy(h, acmeKey, body(t, d)).Code)
	linker.fail = func(context.Context) error { return errors.New("no") }
	require.Equal(t, `{"action":"updated","deploymentId":1,"linkedPRs":3}`, deploy(h, acmeKey, body(t, d)).Body.String())
	require.Len(t, linker.links, 1)
	// Changed commits are counted again.
	linker.fail = nil
	d.PreviousCommitSHA = "f9e8d7c6b5"
	require.Equal(t, 200, deploy(h, acmeKey, body(t, d)).Code)
	require.Len(t, linker.links, 2)
}

// The record is stored before the linker is called, and does not depend on it.
// A failure is always reported.
func TestLink_FailureKeepsRecord(t *testing.T) {
	t.Parallel()
	secret := errors.New("fatal: not a repository")
	for name, fail := range map[string]func(context.Context) error{
		"error": func(context.Context) error { return secret },
		"panic": func(context.Context) error { panic(secret) },
		"abort": func(context.Context) error { panic(http.ErrAbortHandler) },
		"slow":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		// The number could not be stored.
		"not stored": nil, "store panics": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				memory := newLedger(t)
				ledger := &hookLedger{Ledger: memory}
				if fail == nil {
					ledger.setLinked = func(context.Context) error {
						if name == "store panics" {
							panic("connection lost")
						}
						return errors.New("connection lost")
					}
				}
				linker := &countingLinker{fail: func(ctx context.Context) error {
					_, err := memory.Get(ctx, "acme", "a")
					if err != nil {
						t.Error("the record is stored first")
					}
					if fail == nil {
						return nil
					}
					return fail(ctx)
				}}
				var observed receiver.Result
				h := newDeployments(t, ledger, deployments.WithLinker(linker), deployments.WithLinkTimeout(time.Second),
					deployments.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
					deployments.WithObserver(func(_ context.Context, r receiver.Result) { observed = r }))
				start := time.Now()
				w := deploy(h, acmeKey, body(t, testDeployment("a", payload.StatusSuccess)))
				require.LessOrEqual(t, time.Since(start), time.Second)
				require.Equal(t, 201, w.Code)
				require.Equal(t, `{"action":"created","deploymentId":1,"linkedPRs":0,"linkFailed":true}`, w.Body.String())
				require.NotContains(t, w.Body.String(), secret.Error())
				require.Contains(t, log.String(), "level=ERROR")
				require.Contains(t, log.String(), "could not be linked")
				require.Equal(t, receiver.Handled, observed.Outcome)
				require.ErrorIs(t, observed.Err, deployments.ErrNotLinked)
				unlinked, err := memory.List(t.Context(), "acme", deployments.Filter{Unlinked: true}, deployments.Page{})
				require.NoError(t, err)
				require.Len(t, unlinked.Items, 1, "the log line names the reason")

				linker.fail, ledger.setLinked = nil, nil
				w = deploy(h, acmeKey, body(t, testDeployment("a", payload.StatusSuccess)))
				require.Equal(t, `{"action":"updated","deploymentId":1,"linkedPRs":3}`, w.Body.String(), "sending the deployment again links it")
			})
		})
	}
}

// A stale delivery changes nothing. It does not link a deployment whose linking
// failed.
func TestLink_StaleDeploymentDoesNotLink(t *testing.T) {
	t.Parallel()
	linker := &countingLinker{fail: func(context.Context) error { return errors.New("no") }}
	h := newDeployments(t, newLedger(t), deployments.WithLinker(linker))
	require.Contains(t, deploy(h, acmeKey, body(t, testDeployment("a", payload.StatusSuccess))).Body.String(), "linkFailed")
	w := deploy(h, acmeKey, body(t, testDeployment("a", payload.StatusInProgress)))
	require.Equal(t, `{"action":"unchanged","deploymentId":1,"linkedPRs":0,"stale":true}`, w.Body.String())
	require.Len(t, linker.links, 1)
}

func TestLink_NegativeNumberIsFailure(t *testing.T) {
	t.Parallel()
	linker := deployments.LinkerFunc(func(context.Context, deployments.Link) (int, error) { return -1, nil })
	w := deploy(newDeployments(t, newLedger(t), deployments.WithLinker(linker)), acmeKey, referenceBodies[0])
	require.Equal(t, `{"action":"created","deploymentId":1,"linkedPRs":0,"linkFailed":true}`, w.Body.String())
}

// The linker gets the previous commit that the ledger filled in. A deployment
// whose previous commit was corrected is counted again.
func TestLink_FilledInCommits(t *testing.T) {
	t.Parallel()
	ledger := newLedger(t)
	linker := &countingLinker{}
	h := newDeployments(t, ledger, deployments.WithLinker(linker))
	send := func(id, commit string, minutes int) string {
		d := testDeployment(id, payload.StatusSuccess)
		d.CommitSHA = commit
		d.CompletedAt = d.StartedAt.Add(time.Duration(minutes) * time.Minute)
		return deploy(h, acmeKey, body(t, d)).Body.String()
	}
	send("a", "aaaaaaa", 1)
	send("c", "ccccccc", 3)
	require.Equal(t, "aaaaaaa", linker.links[1].PreviousCommit)
	send("b", "bbbbbbb", 2)
	require.Len(t, linker.links, 4)
	require.Equal(t, "b", linker.links[2].DeploymentID)
	require.Equal(t, "aaaaaaa", linker.links[2].PreviousCommit)
	require.Equal(t, "c", linker.links[3].DeploymentID)
	require.Equal(t, "bbbbbbb", linker.links[3].PreviousCommit)
	c, err := ledger.Get(t.Context(), "acme", "c")
	require.NoError(t, err)
	require.True(t, c.Linked)

	// If only a shifted record's link fails, the answer does not mention it,
	// but the log line does.
	linker.fail = nil
	failed := false
	linker.fail = func(context.Context) error {
		if linker.links[len(linker.links)-1].DeploymentID == "b" {
			failed = true
			return errors.New("no")
		}
		return nil
	}
	require.Equal(t, `{"action":"created","deploymentId":4,"linkedPRs":3}`, send("a2", "a2a2a2a2", 1))
	require.True(t, failed)
}

// A record whose previous commit was filled in is linked again. A failure does
// not affect the delivery that filled it in, and is logged.
func TestLink_FailureOfAFilledInCommitIsReported(t *testing.T) {
	t.Parallel()
	ledger := newLedger(t)
	linker := &countingLinker{}
	var observed receiver.Result
	h := newDeployments(t, ledger, deployments.WithLinker(linker),
		deployments.WithObserver(func(_ context.Context, r receiver.Result) { observed = r }))
	send := func(id, commit string, minutes int) string {
		d := testDeployment(id, payload.StatusSuccess)
		d.CommitSHA = commit
		d.CompletedAt = d.StartedAt.Add(time.Duration(minutes) * time.Minute)
		return deploy(h, acmeKey, body(t, d)).Body.String()
	}
	send("a", "aaaaaaa", 1)
	send("c", "ccccccc", 3)
	calls := 0
	linker.fail = func(context.Context) error {
		if calls++; calls == 2 {
			return errors.New("no repository")
		}
		return nil
	}
	require.Equal(t, `{"action":"created","deploymentId":3,"linkedPRs":3}`, send("b", "bbbbbbb", 2))
	require.Equal(t, 2, calls)
	require.ErrorIs(t, observed.Err, deployments.ErrNotLinked)
	require.ErrorContains(t, observed.Err, `deployment "c": no repository`)
	c, err := ledger.Get(t.Context(), "acme", "c")
	require.NoError(t, err)
	require.False(t, c.Linked)
}
