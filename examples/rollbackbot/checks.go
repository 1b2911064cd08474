package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// check is what one page of a deployment must answer.
type check struct {
	// Path is appended to the deployment's URL. It may have a query.
	Path string `json:"path"`
	// Status is the expected status. Default: 200. Redirects are followed unless
	// one is expected.
	Status int `json:"status"`
	// Contains is a text that the first MiB of the body must have.
	Contains string `json:"contains"`
	// Within is how long the answer may take. Default: "10s".
	Within duration `json:"within"`
	// App restricts the check to one app. Default: all apps.
	App string `json:"app"`

	ref *url.URL // of Path
}

// duration is a time.Duration with its text in JSON, such as "500ms".
type duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

const (
	defaultWithin = 10 * time.Second
	maxWithin     = time.Minute
	maxChecks     = 100
)

// readChecks reads {"checks": [{"path": "/", "contains": "hello"}]}.
func readChecks(file string) ([]check, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var in struct {
		Checks []check `json:"checks"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if n := len(in.Checks); n == 0 || n > maxChecks {
		return nil, fmt.Errorf("%s: want 1 to %d checks, but it has %d", file, maxChecks, n)
	}
	return in.Checks, nil
}

// complete fills in the defaults and reports mistakes.
func (c *check) complete() (err error) {
	if c.Status == 0 {
		c.Status = http.StatusOK
	}
	if c.Within == 0 {
		c.Within = duration(defaultWithin)
	}
	c.ref, err = url.Parse(c.Path)
	switch within := time.Duration(c.Within); {
	case err != nil || !strings.HasPrefix(c.Path, "/") || c.ref.Host != "":
		return fmt.Errorf("path %q: want a path such as /health", c.Path)
	case c.Status < 200 || c.Status > 599:
		return fmt.Errorf("status %d: want 200 to 599", c.Status)
	case within < time.Millisecond || within > maxWithin:
		return fmt.Errorf("within %v: want 1ms to %v", within, maxWithin)
	}
	return nil
}

var errNoURL = errors.New("the event has no url that can be tested")

// at returns the URL of the check's page.
func (c *check) at(deployment string) (*url.URL, error) {
	base, err := url.Parse(deployment)
	if err != nil || deployment == "" {
		return nil, errNoURL
	}
	to := base.JoinPath(c.ref.EscapedPath())
	to.RawQuery, to.Fragment = c.ref.RawQuery, ""
	return to, nil
}
