package sender_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// BenchmarkSend measures a delivery of 700 bytes over loopback, by one
// goroutine and by 64. Its floors are a bare http.Client that posts the same
// body to the same server.
//
// server=http is the server of net/http, as receivers run it. server=fixed
// allocates nothing, so that all allocations are the client's.
// floor=bare-client has no deadline. floor=bare-deadline has one, as every
// sender of webhooks should. Neither signs, and both keep as many connections
// as a Sender.
func BenchmarkSend(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"received":true}`)
	}))
	b.Cleanup(server.Close)
	fixed := serveFixed(b)
	for _, goroutines := range []int{1, 64} {
		b.Run("goroutines="+strconv.Itoa(goroutines)+"/server=http", func(b *testing.B) { benchSend(b, server.URL, goroutines) })
		b.Run("goroutines="+strconv.Itoa(goroutines)+"/server=fixed", func(b *testing.B) { benchSend(b, fixed, goroutines) })
	}
}

func benchSend(b *testing.B, url string, goroutines int) {
	standard, err := signer.NewStandard(signer.GenerateSecret())
	require.NoError(b, err)
	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })

	msg := sender.Message{ID: "whk_0198f2c4b1f07c3e9d5a6b7c8d9e0f10", Body: bytes.Repeat([]byte("x"), 700)}
	unsigned := sender.Endpoint{URL: sender.NewURL(url), Signer: sender.InsecureUnsigned()}
	signed := sender.Endpoint{URL: sender.NewURL(url), Signer: standard}
	for _, c := range []struct {
		name string
		send func(ctx context.Context) error
	}{
		{"floor=bare-client", bareClient(b, url, msg.Body, 0)},
		{"floor=bare-deadline", bareClient(b, url, msg.Body, sender.DefaultTimeout)},
		{"deliver-unsigned", func(ctx context.Context) error { _, err := s.Deliver(ctx, unsigned, msg); return err }},
		{"deliver-signed", func(ctx context.Context) error { _, err := s.Deliver(ctx, signed, msg); return err }},
		{"attempt-signed", func(ctx context.Context) error { return s.Attempt(ctx, signed, msg).Err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			if goroutines == 1 {
				for b.Loop() {
					if err := c.send(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
				return
			}
			b.SetParallelism(max(1, goroutines/runtime.GOMAXPROCS(0)))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := c.send(context.Background()); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// bareClient is the least code that posts body and reads the answer.
func bareClient(b *testing.B, url string, body []byte, timeout time.Duration) func(context.Context) error {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, MaxIdleConns: 256}
	b.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: timeout}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return errors.Join(err, resp.Body.Close())
	}
}

// serveFixed runs a server that answers every request with the same 200,
// without an allocation, and returns its URL.
func serveFixed(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerFixed(conn)
		}
	}()
	return "http://" + l.Addr().String()
}

func answerFixed(conn net.Conn) {
	defer conn.Close()
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n" +
		"Content-Length: 17\r\n\r\n{\"received\":true}")
	buf, have := make([]byte, 64<<10), 0
	for {
		n, err := conn.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		if need := requestLength(buf[:have]); need == 0 || have < need {
			continue
		}
		have = 0
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// requestLength is the length of the request that buf begins with, or 0 if its
// header is incomplete.
func requestLength(buf []byte) int {
	end := bytes.Index(buf, []byte("\r\n\r\n"))
	if end < 0 {
		return 0
	}
	const name = "Content-Length: "
	at := bytes.Index(buf, []byte(name)) + len(name)
	length, err := strconv.Atoi(string(buf[at : at+bytes.IndexByte(buf[at:], '\r')]))
	if err != nil {
		return 0
	}
	return end + 4 + length
}
