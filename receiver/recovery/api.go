package recovery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Token returns the token for one request. It is called before every request,
// because App JWTs and installation tokens expire. It must be safe for
// concurrent use. The token is sent only to the API, and is never logged. A
// panic in it fails the request, see [Client.Faults].
type Token func(ctx context.Context) (string, error)

const (
	maxToken  = 16 << 10
	askAnswer = 1 << 20 // bytes of the answer to an ask
	// maxReason is the length of the text of a platform that is shown.
	maxReason = 200

	// Reading is tried again after a failure, with waits of 1, 2, 4, … seconds.
	readTries = 6
	// limitTries is how often a request is tried again after a rate limit.
	limitTries = 8
	// limitWait is the first wait if the platform names none. GitHub says "wait for
	// at least one minute before retrying", and then "an exponentially increasing
	// amount of time"
	// (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api).
	limitWait = time.Minute
	// reported is the shortest wait that Progress reports.
	reported = 15 * time.Second
)

// answer is the answer of an API, with its whole body.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// reason returns what the platform says about a failure.
func (a *answer) reason() string {
	var told struct {
		Message json.RawMessage `json:"message"`
		Error   json.RawMessage `json:"error"`
	}
	text := ""
	if json.Unmarshal(a.body, &told) == nil {
		text = string(bytes.Trim(append(told.Message, told.Error...), `"`))
	}
	if text == "" {
		return strconv.Itoa(a.status)
	}
	return fmt.Sprintf("%d %.*q", a.status, maxReason, text)
}

// read gets a page. It tries again after failures that pass.
func (r *run) read(ctx context.Context, target string) (*answer, error) {
	limit := r.log.platform.limits().page
	for try := 1; ; try++ {
		a, err := r.request(ctx, http.MethodGet, target, limit)
		switch {
		case err == nil && a.status == http.StatusOK:
			return a, nil
		case err == nil && a.status < http.StatusInternalServerError:
			return nil, refusal(a)
		case errors.Is(err, ErrRateLimited), errors.Is(err, ErrTooLarge), ctx.Err() != nil:
			return nil, err
		case err == nil:
			err = fmt.Errorf("%w: %s", ErrAPI, a.reason())
		}
		if try == readTries {
			return nil, fmt.Errorf("%w; gave up after %d tries", err, try)
		}
		if err := r.wait(ctx, time.Second<<(try-1), "the API failed"); err != nil {
			return nil, err
		}
	}
}

// refusal is the error for an answer that no repetition changes.
func refusal(a *answer) error {
	switch {
	case a.status == http.StatusUnauthorized:
		return fmt.Errorf("%w: %s: the token is invalid or has expired", ErrDenied, a.reason())
	case a.status == http.StatusForbidden, a.status == http.StatusNotFound:
		return fmt.Errorf("%w: %s: check the names, the webhook's ID and the token's permissions", ErrDenied, a.reason())
	case a.status >= 300 && a.status <= 399:
		return fmt.Errorf("%w: %d: the API redirects, and the token does not follow; use the current name and the URL of WithAPI", ErrAPI, a.status)
	}
	return fmt.Errorf("%w: %s", ErrAPI, a.reason())
}

// request makes a request, and makes it again as long as a rate limit refuses
// it. An answer of a rate limit means that nothing was done.
func (r *run) request(ctx context.Context, method, target string, limit int64) (*answer, error) {
	for try := 1; ; try++ {
		if err := r.waitForLimit(ctx); err != nil {
			return nil, err
		}
		a, err := r.exchange(ctx, method, target, limit)
		if err != nil {
			return nil, err
		}
		limited := r.limiter.see(a, try, time.Now())
		if !limited {
			return a, nil
		}
		if try == limitTries {
			return nil, fmt.Errorf("%w: still limited after %d tries: %s", ErrRateLimited, try, a.reason())
		}
	}
}

func (r *run) waitForLimit(ctx context.Context) error {
	d := time.Until(r.limiter.notBefore)
	if d > r.maxWait {
		return fmt.Errorf("%w until %s, which is longer than WithMaxWait", ErrRateLimited, r.limiter.notBefore.UTC().Format(time.RFC3339))
	}
	return r.wait(ctx, d, "the API's rate limit")
}

// wait waits unless the context ends.
func (r *run) wait(ctx context.Context, d time.Duration, reason string) error {
	if d <= 0 {
		return ctx.Err()
	}
	if d >= reported {
		r.report(ctx, time.Now().Add(d), reason)
	}
	return sleep(ctx, d)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// exchange makes one request and reads the whole answer, within the timeout.
func (c *Client) exchange(ctx context.Context, method, target string, limit int64) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	token, err := c.currentToken(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, target, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAPI, err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("User-Agent", "deployhook-recovery")
	c.log.platform.header(req.Header.Set)
	var a *answer
	fault := c.faults.CallUntil(ctx, inTransport, func() { a, err = c.do(req, limit) })
	switch {
	case fault != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", ErrAPI, ctx.Err())
	case fault != nil:
		return nil, fmt.Errorf("%w: WithTransport %w", ErrAPI, fault)
	}
	return a, err
}

func (c *Client) currentToken(ctx context.Context) (string, error) {
	var token string
	var err error
	switch fault := c.faults.CallUntil(ctx, inToken, func() { token, err = c.token(ctx) }); {
	case fault != nil:
		return "", fmt.Errorf("%w: the Token %w", ErrToken, fault.Discreet())
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	token = strings.TrimSpace(token)
	if token == "" || len(token) > maxToken || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", fmt.Errorf("%w: the value is empty, too long, or has characters that no token has", ErrToken)
	}
	return token, nil
}

func (c *Client) do(req *http.Request, limit int64) (*answer, error) {
	client := http.Client{Transport: c.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAPI, err)
	}
	defer func() { _ = resp.Body.Close() }() // the answer was read
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: read the answer: %w", ErrAPI, err)
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("%w: the answer has more than %d bytes", ErrTooLarge, limit)
	}
	return &answer{resp.StatusCode, resp.Header, body}, nil
}
