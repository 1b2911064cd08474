package receivertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/deployhook/deployhook/internal/memnet"
)

// A Client posts requests to a handler. Make it with [Direct] or [Serve]. It is
// safe for concurrent use.
type Client struct {
	t    testing.TB
	send func(r *http.Request) *Answer
}

// Direct returns a client that calls the handler with an
// [httptest.ResponseRecorder]. That is enough for most tests, and the stack of
// a failure has the test in it.
func Direct(t testing.TB, h http.Handler) *Client {
	return &Client{t: t, send: func(r *http.Request) (answer *Answer) {
		w := httptest.NewRecorder()
		defer func() {
			if v := recover(); v != nil {
				if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
					panic(v)
				}
				answer = &Answer{Err: http.ErrAbortHandler}
			}
		}()
		h.ServeHTTP(noDeadline{w}, r)
		return &Answer{Status: w.Code, Header: w.Header(), Body: w.Body.String()}
	}}
}

// noDeadline lets the handler set a deadline for a body that is in memory.
type noDeadline struct{ *httptest.ResponseRecorder }

func (noDeadline) SetReadDeadline(time.Time) error { return nil }

// Serve returns a client of an HTTP server that serves the handler on
// connections in memory, until the end of the test. Everything that a server
// adds is there, such as limits for slow bodies. It works in a testing/synctest
// bubble and needs no network.
func Serve(t testing.TB, h http.Handler) *Client {
	server := memnet.Serve(netip.MustParseAddrPort("192.0.2.1:80"), h)
	transport := &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return server.Dial(ctx) },
		DisableCompression: true,
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return &Client{t: t, send: func(r *http.Request) *Answer { return roundTrip(transport, r) }}
}

// Remote returns a client for a program that is served elsewhere, such as the
// whole service under test. A request goes to its URL, see [Scheme.To].
func Remote(t testing.TB) *Client {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &Client{t: t, send: func(r *http.Request) *Answer { return roundTrip(transport, r) }}
}

func roundTrip(transport *http.Transport, r *http.Request) *Answer {
	r.RequestURI = ""    // which only a server's request has
	defer r.Body.Close() // also where the answer came before its end
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return &Answer{Err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body), Err: err}
}

// Post posts a request and returns the answer. To replay a request, post it
// again.
func (c *Client) Post(r *http.Request) *Answer {
	what := description(r)
	r, err := again(r)
	if err != nil {
		return &Answer{Err: err, t: c.t, what: what}
	}
	begin := time.Now()
	answer := c.send(r)
	answer.Took = time.Since(begin)
	answer.t, answer.what = c.t, what
	return answer
}

// again returns a copy of a request whose body is unread.
func again(r *http.Request) (*http.Request, error) {
	fresh := r.Clone(r.Context())
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		fresh.Body = body
	}
	fresh.GetBody = nil // net/http would repeat a request by itself
	return fresh, nil
}

// PostAll posts all requests at the same time, and returns when all of them
// have their answers.
func (c *Client) PostAll(requests ...*http.Request) *Answers {
	answers := make([]*Answer, len(requests))
	var wg sync.WaitGroup
	for i, r := range requests {
		wg.Go(func() { answers[i] = c.Post(r) })
	}
	wg.Wait()
	return &Answers{t: c.t, All: answers}
}

// times is a number of calls in words.
func times(n int) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
