package sendertest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	"github.com/deployhook/deployhook/internal/memnet"
)

// A Step is what an endpoint does with one request. Write your own for what
// this package does not have. Step(h.ServeHTTP) passes the request to a
// handler, such as that of a receiver. A step that waits ends with the
// request's context, which ends with the connection and with the test.
type Step func(w http.ResponseWriter, r *http.Request)

// OK accepts the delivery.
func OK() Step {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"received":true}`) // the client may be gone
	}
}

// Status answers with a status and header fields, which are names and values in
// turn.
func Status(code int, fields ...string) Step {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(fields); i += 2 {
			w.Header().Add(fields[i], fields[i+1])
		}
		w.WriteHeader(code)
	}
}

// Gone answers 410, which asks to stop.
func Gone() Step { return Status(http.StatusGone) }

// TooMany answers 429 with a Retry-After in whole seconds, rounded up. With
// zero there is no Retry-After.
func TooMany(after time.Duration) Step {
	if after <= 0 {
		return Status(http.StatusTooManyRequests)
	}
	seconds := (after + time.Second - 1) / time.Second
	return Status(http.StatusTooManyRequests, "Retry-After", strconv.FormatInt(int64(seconds), 10))
}

// Redirect answers 307 with a Location.
func Redirect(to string) Step { return Status(http.StatusTemporaryRedirect, "Location", to) }

// Slow waits, and then does the next step. If the sender gives up before, that
// step is not done.
func Slow(by time.Duration, then Step) Step {
	return func(w http.ResponseWriter, r *http.Request) {
		if wait(r, by) {
			then(w, r)
		}
	}
}

// wait reports whether the time has passed before the request's context ended.
func wait(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// Hang never answers.
func Hang() Step { return func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() } }

// Reset ends the connection without an answer, as a process that crashes does.
// The sender can't know whether the delivery took effect.
func Reset() Step {
	return func(w http.ResponseWriter, _ *http.Request) {
		if conn := hijack(w); conn != nil {
			reset(conn)
		}
	}
}

// LoseAnswer does a step, and then ends the connection instead of sending the
// answer. The delivery took effect, and the sender does not know.
func LoseAnswer(of Step) Step {
	return func(w http.ResponseWriter, r *http.Request) {
		of(httptest.NewRecorder(), r)
		Reset()(w, r)
	}
}

// Cut sends the header and half of the body of a 200, and then ends the
// connection.
func Cut() Step {
	return func(w http.ResponseWriter, _ *http.Request) {
		if conn := hijack(w); conn != nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf.") // the client may be gone
			_ = conn.Close()                                                                  // a reset could discard what was sent
		}
	}
}

// Drip sends the header of an answer byte by byte, with a pause before each,
// and never reaches its end.
func Drip(pause time.Duration) Step {
	return func(w http.ResponseWriter, r *http.Request) {
		conn := hijack(w)
		if conn == nil {
			return
		}
		defer conn.Close()
		text := "HTTP/1.1 200 OK\r\nX-Drip: "
		for i := 0; wait(r, pause); i++ {
			next := "x"
			if i < len(text) {
				next = text[i : i+1]
			}
			if _, err := io.WriteString(conn, next); err != nil {
				return
			}
		}
	}
}

// DripBody sends the header of a 200 at once, and its body byte by byte, with a
// pause before each, without an end. The delivery is accepted.
func DripBody(pause time.Duration) Step {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		for http.NewResponseController(w).Flush() == nil && wait(r, pause) {
			if _, err := io.WriteString(w, "x"); err != nil {
				return
			}
		}
	}
}

// NotHTTP answers with something else, as a mail server does.
func NotHTTP() Step {
	return func(w http.ResponseWriter, _ *http.Request) {
		if conn := hijack(w); conn != nil {
			_, _ = fmt.Fprint(conn, "220 mail.example ESMTP\r\n") // the client may be gone
			_ = conn.Close()                                      // likewise
		}
	}
}

// hijack takes the connection from the server. It returns nil if the connection
// has ended meanwhile.
func hijack(w http.ResponseWriter) net.Conn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil
	}
	return conn
}

func reset(conn net.Conn) {
	switch conn := conn.(type) {
	case *memnet.Conn:
		conn.Reset()
	case *net.TCPConn:
		_ = conn.SetLinger(0) // otherwise it ends in the ordinary way
		_ = conn.Close()      // it was not used up
	default:
		_ = conn.Close()
	}
}
