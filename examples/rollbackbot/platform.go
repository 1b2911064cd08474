package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/deployhook/deployhook/payload"
)

// platform calls the API of examples/platform. Another platform needs another
// implementation of its two calls.
type platform struct {
	base  *url.URL
	token string
	http  *http.Client
	// patience is how long a rollback that cannot be done yet is repeated.
	patience time.Duration
}

func newPlatform(base, token string) (*platform, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, errors.New("-platform: not a URL")
	}
	return &platform{base: u, token: token, patience: 2 * time.Minute, http: &http.Client{
		Timeout: time.Minute,
		// -platform names the address; a redirect would lead to another one
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// refusal is an answer of the platform other than 200.
type refusal struct {
	status       int
	Code, Detail string
}

func (r *refusal) Error() string {
	if r.Code == "" {
		return fmt.Sprintf("the platform answered %d", r.status)
	}
	return fmt.Sprintf("the platform answered %d %s: %s", r.status, r.Code, r.Detail)
}

// temporary reports whether the same request can succeed later. The app is busy
// while the platform itself still watches the deployment.
func (r *refusal) temporary() bool {
	return r.Code == "busy" || r.status == http.StatusTooManyRequests || r.status >= 500
}

// final reports whether the platform can't roll the deployment back. No retry
// changes that, so a person has to act.
func final(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return errors.Is(err, errNames) || ok && (r.Code == "nothing_before" || r.Code == "nothing_live" || r.Code == "unhealthy")
}

// deploymentID and app are the forms of the platform's IDs and names. Others
// would change the path of a request.
var (
	deploymentID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	appName      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)
)

var errNames = errors.New("the platform has no app or deployment of such a name")

// status returns what the platform knows about a deployment.
func (p *platform) status(ctx context.Context, app, id string) (payload.Status, error) {
	if !appName.MatchString(app) || !deploymentID.MatchString(id) {
		return "", errNames
	}
	var d struct{ Status payload.Status }
	err := p.call(ctx, http.MethodGet, []string{"apps", app, "deployments", id}, nil, &d)
	return d.Status, err
}

// done says what became of a request to roll back.
type done string

const (
	rolledBack done = "rolled back"
	// already means that an earlier request was successful. This bot may have
	// made it before a crash, or a person may have.
	already done = "already rolled back"
	// outdated means that another deployment is live, which stays.
	outdated done = "no longer live"
)

// rollBack makes the platform roll a deployment back, at most once. The request
// names the deployment, and the platform changes nothing unless that one is
// live. It can therefore be repeated after an answer was lost.
func (p *platform) rollBack(ctx context.Context, app, id, reason string) (done, error) {
	if !appName.MatchString(app) || !deploymentID.MatchString(id) {
		return "", errNames
	}
	in := map[string]string{"deployment_id": id, "reason": reason}
	wait := backoff.NewExponentialBackOff(backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(p.patience))
	err := backoff.Retry(func() error {
		err := p.call(ctx, http.MethodPost, []string{"apps", app, "rollback"}, in, nil)
		if r, ok := errors.AsType[*refusal](err); ok && !r.temporary() {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(wait, ctx))
	if r, ok := errors.AsType[*refusal](err); !ok || r.Code != "not_live" {
		return rolledBack, err
	}
	status, err := p.status(ctx, app, id)
	if status == payload.StatusRolledBack {
		return already, err
	}
	return outdated, err
}

// check reports whether the platform accepts the token.
func (p *platform) check(ctx context.Context) error {
	return p.call(ctx, http.MethodGet, []string{"sources"}, nil, nil)
}

const maxAnswer = 1 << 20

func (p *platform) call(ctx context.Context, method string, path []string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.base.JoinPath(path...).String(), body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		r := &refusal{status: resp.StatusCode}
		_ = json.Unmarshal(text, r) // a proxy's answer may be no JSON; the status is enough then
		return r
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}
