package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	// answerTimeout is how long one request may take.
	answerTimeout = 30 * time.Second
	// maxAnswer is how much of an answer is read.
	maxAnswer = 64 << 10
)

// connectionHeaders belong to one connection and are never copied to another
// (RFC 9110, section 7.6.1).
var connectionHeaders = map[string]bool{
	"Connection": true, "Content-Length": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authorization": true,
	"Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// poster sends requests one at a time. It follows no redirect and adds no
// header.
type poster struct{ client *http.Client }

func newPoster() *poster {
	return &poster{&http.Client{
		Timeout:   answerTimeout,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableCompression: true, MaxIdleConnsPerHost: 4},
		// A redirect would send the body and its signature to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (p *poster) close() { p.client.CloseIdleConnections() }

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

func (a answer) ok() bool { return a.status >= 200 && a.status < 300 }

// newRequest returns a request with exactly these headers.
func newRequest(ctx context.Context, method, target string, h http.Header, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range h {
		if !connectionHeaders[name] {
			r.Header[name] = values
		}
	}
	if len(r.Header["User-Agent"]) == 0 {
		r.Header["User-Agent"] = []string{""} // otherwise net/http adds its own
	}
	return r, nil
}

func (p *poster) do(r *http.Request) (answer, error) {
	began := time.Now()
	res, err := p.client.Do(r)
	if err != nil {
		return answer{}, plainNetError(r, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return answer{}, plainNetError(r, err)
	}
	return answer{res.StatusCode, res.Header, body, time.Since(began)}, nil
}

// plainNetError explains an error of the network without repeating the URL,
// which may be a credential.
func plainNetError(r *http.Request, err error) error {
	var (
		inURL   *url.Error
		timeout net.Error
	)
	host := r.URL.Scheme + "://" + r.URL.Host
	switch {
	case r.Context().Err() != nil:
		return r.Context().Err()
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("nothing listens at " + host)
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer from " + host + " within " + answerTimeout.String())
	case errors.As(err, &inURL):
		err = inURL.Err
	}
	return errors.New(host + ": " + oneLine(err.Error()))
}

// checkTarget checks the URL of a flag.
func checkTarget(flagName, text string) error {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return usagef("no URL; give -%s", flagName)
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return usagef("-%s: want an absolute http or https URL", flagName)
	case u.User != nil:
		return usagef("-%s: must not contain a user name or a password", flagName)
	}
	return nil
}

// wait pauses, and reports whether the context is still alive.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// firstLine returns the beginning of an answer's body for one line of output.
func firstLine(body []byte) string { return printable(strings.TrimSpace(string(body)), 60) }
