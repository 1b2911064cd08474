package receiver_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// raw returns a signed delivery as bytes on the wire. length replaces the
// Content-Length. "chunked" sends chunks.
func raw(t *testing.T, s signer.Signer, body, length string) (head, framed string) {
	t.Helper()
	r := signedRequest(t, s, "", body)
	var b strings.Builder
	fmt.Fprintf(&b, "POST /webhooks/deploy HTTP/1.1\r\nHost: hooks.example.com\r\n")
	framed = body
	if length == "chunked" {
		r.Header.Set("Transfer-Encoding", "chunked")
		framed = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	} else {
		r.Header.Set("Content-Length", length)
	}
	require.NoError(t, r.Header.Write(&b))
	b.WriteString("\r\n")
	return b.String(), framed
}

func answerOf(t *testing.T, c net.Conn) (int, string) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	return resp.StatusCode, readAll(t, resp.Body)
}

// send writes from its own goroutine, because the server may answer before it
// has read everything.
func send(c net.Conn, text string) {
	go func() { _, _ = io.WriteString(c, text) }()
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	limit := len(eventBody)
	for _, c := range []struct {
		name, body, length string
		status             int
	}{
		{"at the limit", eventBody, "", 200},
		{"at the limit, chunked", eventBody, "chunked", 200},
		{"one byte over", eventBody + " ", "", 413},
		{"one byte over, chunked", eventBody + " ", "chunked", 413},
		{"far over, chunked", eventBody + strings.Repeat(" ", 1<<20), "chunked", 413},
		{"declares far over", eventBody, "9223372036854775807", 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				scheme := newScheme(t)
				rcv := newReceiver(t, scheme, receiver.InsecureNoDedupe(), receiver.WithMaxBody(int64(limit)))
				conn := dial(t, rcv.Events(ok))
				if c.length == "" {
					c.length = fmt.Sprint(len(c.body))
				}
				head, framed := raw(t, scheme, c.body, c.length)
				send(conn, head+framed)
				status, _ := answerOf(t, conn)
				require.Equal(t, c.status, status)
			})
		})
	}
}

// A sender of one byte a second keeps its connection only until the deadline.
func TestSlowBodiesAreCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := newScheme(t)
		conn := dial(t, newReceiver(t, scheme, receiver.InsecureNoDedupe()).Events(ok))
		head, body := raw(t, scheme, eventBody, fmt.Sprint(len(eventBody)))
		start := time.Now()
		written := make(chan struct{})
		go func() {
			defer close(written)
			_, _ = io.WriteString(conn, head)
			for i := range body {
				if _, err := io.WriteString(conn, body[i:i+1]); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		status, text := answerOf(t, conn)
		require.Equal(t, 408, status)
		require.Equal(t, `{"error":"Request body took too long"}`, text)
		require.Equal(t, receiver.DefaultBodyTimeout, time.Since(start))
		_, err := conn.Read(make([]byte, 1))
		require.Error(t, err, "the connection is closed")
		<-written
	})
}

// takesAnHour is a handler that needs an hour, unless its context ends.
func takesAnHour(ctx context.Context, _ *payload.Event) error {
	select {
	case <-time.After(time.Hour):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The deadline covers only the body. It must not end the context of a handler
// that runs longer.
func TestBodyDeadline_EndsWithBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := newScheme(t)
		h := newReceiver(t, scheme, receiver.InsecureNoDedupe()).Events(takesAnHour)
		conn := dial(t, h)
		head, body := raw(t, scheme, eventBody, fmt.Sprint(len(eventBody)))
		send(conn, head+body)
		status, _ := answerOf(t, conn)
		require.Equal(t, 200, status)
	})
}

// Middleware that buffers the body keeps net/http from removing the deadline,
// so the receiver removes it.
func TestBodyDeadline_LiftedBehindBufferingMiddleware(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := newScheme(t)
		h := newReceiver(t, scheme, receiver.InsecureNoDedupe()).Events(takesAnHour)
		conn := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			h.ServeHTTP(w, r)
		}))
		for range 2 { // the connection stays open
			head, body := raw(t, scheme, eventBody, fmt.Sprint(len(eventBody)))
			send(conn, head+body)
			status, _ := answerOf(t, conn)
			require.Equal(t, 200, status)
		}
	})
}

// A body that other code has read must not look like a forged or empty
// document.
func TestBodyReadBefore(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	var log bytes.Buffer
	rcv := newReceiver(t, scheme, receiver.InsecureNoDedupe(), receiver.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Header.Get("X-Test") == "replaced" {
			r.Body = http.NoBody
		}
		rcv.Events(ok).ServeHTTP(w, r)
	}))
	defer server.Close()
	for _, kind := range []string{"read", "replaced"} {
		r := signedRequest(t, scheme, "", eventBody)
		out, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(eventBody))
		require.NoError(t, err)
		out.Header = r.Header
		out.Header.Set("X-Test", kind)
		response, err := server.Client().Do(out)
		require.NoError(t, err)
		require.Equal(t, 500, response.StatusCode, "a 500 makes the sender try again")
		require.Equal(t, `{"error":"Delivery was not handled"}`, readAll(t, response.Body))
		require.NoError(t, response.Body.Close())
	}
	server.Close() // wait until the lines are written
	require.Equal(t, 2, strings.Count(log.String(), "other code read the body before the receiver"), log.String())
	require.Equal(t, 2, strings.Count(log.String(), "level=ERROR msg=\"webhook delivery\" outcome=failed"))
}

func TestBody_EndingEarlyIsNotHandled(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	h := newReceiver(t, scheme, receiver.InsecureNoDedupe()).Events(ok)
	r := signedRequest(t, scheme, "", eventBody)
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(eventBody), brokenReader{}))
	require.Equal(t, 400, serve(h, r).Code)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A Content-Length header alone allocates little memory, even with a large
// limit.
func TestBody_FalseContentLengthAllocatesLittle(t *testing.T) {
	scheme := newScheme(t)
	h := newReceiver(t, scheme, receiver.InsecureNoDedupe(), receiver.WithMaxBody(1<<30)).Events(ok)
	r := signedRequest(t, scheme, "", eventBody)
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			r.ContentLength = 1 << 30
			r.Body = io.NopCloser(strings.NewReader("{"))
			serve(h, r)
		}
	})
	require.Less(t, result.AllocedBytesPerOp(), int64(100<<10))
}

// A ResponseWriter that hides the read deadline is reported once, and the
// request is still served.
func TestBodyTimeout_HiddenDeadlineIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	scheme := newScheme(t)
	h := newReceiver(t, scheme, receiver.InsecureNoDedupe(), receiver.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))).Events(ok)
	for range 3 {
		require.Equal(t, 200, serve(h, signedRequest(t, scheme, "", eventBody)).Code)
	}
	require.Equal(t, 1, strings.Count(log.String(), "SetReadDeadline"))
}

func TestRequestWithoutABody(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	h := newReceiver(t, scheme, receiver.InsecureNoDedupe()).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("Content-Type", "application/json")
	require.NoError(t, scheme.Sign(r.Context(), r, "whk_1", time.Now(), nil))
	r.Body = nil
	require.Equal(t, 200, serve(h, r).Code)
}

// A limit set by middleware in front also gives 413.
func TestMaxBytesHandlerInFront(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	h := http.MaxBytesHandler(newReceiver(t, scheme, receiver.InsecureNoDedupe()).Events(ok), 10)
	require.Equal(t, 413, serve(h, signedRequest(t, scheme, "", eventBody)).Code)
}

// A refusal without reading the body must not make net/http wait for the rest.
// Otherwise any client could hold a goroutine and a connection without a key.
func TestRefusal_DoesNotWaitForBody(t *testing.T) {
	t.Parallel()
	rcv := newReceiver(t, newScheme(t), receiver.InsecureNoDedupe(), receiver.WithMaxBody(100), receiver.WithBodyTimeout(100*time.Millisecond))
	server := httptest.NewServer(rcv.Events(ok))
	defer server.Close()
	for name, head := range map[string]string{
		"405": "PUT / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
		"415": "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 50\r\n\r\n{",
		"413": "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, head)
			require.NoError(t, err)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(2*time.Minute)))
			answer, err := io.ReadAll(conn) // until the server closes the connection
			require.NoError(t, err, "the server still waits for the body")
			require.Contains(t, string(answer), "HTTP/1.1 "+name)
		})
	}
}

// Refusing a body closes an HTTP/1 connection. Over HTTP/2 only its stream
// ends, because other requests share the connection.
func TestRefusal_KeepsHTTP2Connection(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	server := httptest.NewUnstartedServer(newReceiver(t, scheme, receiver.InsecureNoDedupe(), receiver.WithMaxBody(1000)).Events(ok))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	var reused []bool
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = append(reused, info.Reused) }}
	for _, body := range []string{strings.Repeat("x", 2000), eventBody, strings.Repeat("x", 2000), eventBody} {
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost, server.URL, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		require.NoError(t, scheme.Sign(r.Context(), r, payload.NewDeliveryID(), time.Now(), []byte(body)))
		resp, err := server.Client().Do(r)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 2, resp.ProtoMajor)
		require.Equal(t, map[bool]int{true: 413, false: 200}[body != eventBody], resp.StatusCode)
		require.Empty(t, resp.Header["Connection"])
	}
	require.Equal(t, []bool{false, true, true, true}, reused)
}
