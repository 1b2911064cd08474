package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/deployhook/deployhook/sender"
)

// outcome is the result of the smoke tests of a deployment.
type outcome string

const (
	passed outcome = "passed"
	// broken means that the deployment gave wrong answers, or none, for as long
	// as the bot had patience.
	broken outcome = "broken"
	// untested means that the bot could not find out. It never causes a
	// rollback.
	untested outcome = "untested"
)

// result says how the smoke tests of a deployment ended.
type result struct {
	outcome outcome
	problem string // why it did not pass
	tries   int
}

// tester runs the checks.
type tester struct {
	checks             []check
	patience, interval time.Duration
	transport          http.RoundTripper // with the sender's guard
}

const maxPage = 1 << 20

// test runs the checks of an app one after the other. A check that fails is
// repeated until the patience for all of them has passed. The last try has all
// of its time, so a check is never judged by a request that was cut short.
//
// The error is that of ctx. The deployment is then neither good nor broken.
func (t *tester) test(ctx context.Context, app, deployment string) (result, error) {
	r := result{outcome: passed}
	deadline := time.Now().Add(t.patience)
	for _, c := range t.of(app) {
		wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(min(500*time.Millisecond, t.interval)),
			backoff.WithMaxInterval(t.interval), backoff.WithMaxElapsedTime(max(time.Until(deadline), time.Nanosecond)))
		err := backoff.Retry(func() error {
			r.tries++
			return t.try(ctx, c, deployment)
		}, backoff.WithContext(wait, ctx))
		if ctx.Err() != nil {
			return result{}, context.Cause(ctx)
		}
		if err != nil {
			r.outcome, r.problem = broken, fmt.Sprintf("GET %s: %v", c.Path, err)
			if !tested(err) {
				r.outcome = untested
			}
			return r, nil
		}
	}
	return r, nil
}

// of returns the checks for an app.
func (t *tester) of(app string) []check {
	return slices.DeleteFunc(slices.Clone(t.checks), func(c check) bool { return c.App != "" && c.App != app })
}

// applies reports whether there is any check for an app.
func (t *tester) applies(app string) bool { return len(t.of(app)) > 0 }

// tested reports whether a failed try says something about the deployment. It
// says nothing if the guard refused the URL, or if the name could not be
// resolved, which is more often a fault of the bot's network.
func tested(err error) bool {
	_, dns := errors.AsType[*net.DNSError](err)
	return !dns && !errors.Is(err, errNoURL) && !errors.Is(err, sender.ErrForbiddenAddress) && !errors.Is(err, sender.ErrRefused)
}

// try makes one request.
func (t *tester) try(ctx context.Context, c check, deployment string) error {
	to, err := c.at(deployment)
	if err != nil {
		return backoff.Permanent(err)
	}
	within := time.Duration(c.Within)
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("no answer within %v", within))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return backoff.Permanent(errNoURL)
	}
	req.Header.Set("User-Agent", "rollbackbot")
	client := &http.Client{Transport: t.transport}
	if c.Status >= 300 && c.Status < 400 {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	resp, err := client.Do(req)
	if err != nil {
		return failure(ctx, err)
	}
	defer resp.Body.Close()
	return c.judge(ctx, resp)
}

// judge compares an answer with what the check expects.
func (c *check) judge(ctx context.Context, resp *http.Response) error {
	page, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	switch {
	case resp.StatusCode != c.Status:
		return fmt.Errorf("status %d, want %d", resp.StatusCode, c.Status)
	case err != nil:
		return failure(ctx, err)
	case !bytes.Contains(page, []byte(c.Contains)):
		return fmt.Errorf("the page does not contain %q", c.Contains)
	}
	return nil
}

// failure explains the error of a request. If the guard refused it, no further
// try can help.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // the problem names the page already
	}
	if errors.Is(err, sender.ErrForbiddenAddress) || errors.Is(err, sender.ErrRefused) {
		return backoff.Permanent(err)
	}
	return err
}
