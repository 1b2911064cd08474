package sender_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// TestOncePerAttempt uses a server that reads the request and then closes a
// connection that has served before. The server may have acted on the request.
// net/http would repeat a request there that it takes to be safe to repeat.
func TestOncePerAttempt(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(conn net.Conn){
		"close": func(net.Conn) {},
		"reset": func(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) },
		"half an answer": func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var processed atomic.Int64
			url := "http://" + listen(t, func(conn net.Conn, _ int) {
				r := bufio.NewReader(conn)
				for first := true; ; first = false {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					processed.Add(1)
					if !first {
						end(conn)
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			s := newSender(t)
			ep := sender.Endpoint{URL: sender.NewURL(url), Signer: standard(t)}
			require.NoError(t, attempt(t, s, ep).Err)
			require.EqualValues(t, 1, processed.Swap(0))

			a := attempt(t, s, ep)
			require.True(t, a.Reused)
			require.Equal(t, sender.Failed, a.Outcome)
			require.Equal(t, sender.ClassReset, a.Class, "%v", a.Err)
			require.EqualValues(t, 1, processed.Load(), "requests that the server read")
		})
	}
}

// TestOncePerAttemptHTTP2 uses answers after which net/http repeats a request
// that it can read again, although the server has read it. After PROTOCOL_ERROR
// the server may even have acted on it.
func TestOncePerAttemptHTTP2(t *testing.T) {
	t.Parallel()
	const (
		frameRST, frameGoAway             = 3, 7
		noError, protocolError, refusedSt = 0, 1, 7
	)
	for name, end := range map[string]func(conn net.Conn, stream uint32){
		"RST_STREAM PROTOCOL_ERROR": func(conn net.Conn, stream uint32) {
			writeFrame(conn, frameRST, stream, binary.BigEndian.AppendUint32(nil, protocolError))
		},
		"RST_STREAM REFUSED_STREAM": func(conn net.Conn, stream uint32) {
			writeFrame(conn, frameRST, stream, binary.BigEndian.AppendUint32(nil, refusedSt))
		},
		"GOAWAY": func(conn net.Conn, _ uint32) {
			// Last stream 0 says that the server acted on no request.
			writeFrame(conn, frameGoAway, 0, binary.BigEndian.AppendUint32(make([]byte, 4), noError))
		},
		"close": func(conn net.Conn, _ uint32) { _ = conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var processed atomic.Int64
			server := serveHTTP2(t, func(conn net.Conn, stream uint32) {
				processed.Add(1)
				end(conn, stream)
			})
			s := newSender(t, sender.WithRootCAs(roots(server)))
			a := attempt(t, s, sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)})
			require.Equal(t, sender.Failed, a.Outcome, "%v", a.Err)
			require.EqualValues(t, 1, processed.Load(), "requests that the server read")
		})
	}
}

// serveHTTP2 runs a server that speaks just enough HTTP/2 to read requests. It
// calls f at the end of each.
func serveHTTP2(t *testing.T, f func(conn net.Conn, stream uint32)) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{NextProtos: []string{"h2"}}
	server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(_ *http.Server, conn *tls.Conn, _ http.Handler) { readHTTP2(conn, f) },
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func readHTTP2(conn net.Conn, f func(conn net.Conn, stream uint32)) {
	const (
		frameHeaders, frameData, frameSettings = 1, 0, 4
		endStream, ack                         = 1, 1
	)
	r := bufio.NewReader(conn)
	if _, err := r.Discard(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); err != nil {
		return
	}
	writeFrame(conn, frameSettings, 0, nil)
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		if _, err := r.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2])); err != nil {
			return
		}
		kind, flags := head[3], head[4]
		if (kind == frameData || kind == frameHeaders) && flags&endStream != 0 {
			f(conn, binary.BigEndian.Uint32(head[5:]))
		}
	}
}

func writeFrame(conn net.Conn, kind byte, stream uint32, payload []byte) {
	frame := append([]byte{0, 0, byte(len(payload)), kind, 0}, binary.BigEndian.AppendUint32(nil, stream)...)
	_, _ = conn.Write(append(frame, payload...))
}
