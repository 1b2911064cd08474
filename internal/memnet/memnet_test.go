package memnet_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/memnet"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var addr = netip.MustParseAddrPort("192.0.2.1:80")

func serve(t *testing.T, h http.HandlerFunc) (*memnet.Server, *http.Client) {
	t.Helper()
	s := memnet.Serve(addr, h)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx) }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.Close()
	})
	return s, &http.Client{Transport: transport}
}

// A request takes no time in a bubble, and deadlines are in the bubble's time.
func TestServe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s, client := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = io.WriteString(w, r.RemoteAddr+" "+string(body))
		})
		for range 3 {
			resp, err := client.Post("http://192.0.2.1/", "text/plain", strings.NewReader(strings.Repeat("x", 1<<20)))
			require.NoError(t, err)
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, "127.0.0.1:1 "+strings.Repeat("x", 1<<20), string(text))
		}
		require.Zero(t, time.Since(begin))

		conn, err := s.Dial(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		require.Equal(t, "192.0.2.1:80", conn.RemoteAddr().String())
		require.Equal(t, "127.0.0.1:1", conn.LocalAddr().String())
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err = conn.Read(make([]byte, 1))
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
		require.Equal(t, time.Minute, time.Since(begin))
	})
}

// A server that refuses a long body stays for a while, so that the client can
// read the answer. Close waits for it.
func TestClose_WaitsForConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, client := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.MaxBytesReader(w, r.Body, 1)
			http.Error(w, "too long", http.StatusRequestEntityTooLarge)
		})
		resp, err := client.Post("http://192.0.2.1/", "text/plain", bytes.NewReader(make([]byte, 1<<20)))
		require.NoError(t, err)
		require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
		require.NoError(t, resp.Body.Close())
	})
}

func TestReset(t *testing.T) {
	t.Parallel()
	s, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.(*memnet.Conn).Reset()
		}
	})
	conn, err := s.Dial(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	_, err = io.ReadAll(conn)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	_, err = io.WriteString(conn, "x")
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s, client := serve(t, func(http.ResponseWriter, *http.Request) {})
	s.Close()
	_, err := client.Get("http://192.0.2.1/")
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	s.Close()

	other, _ := serve(t, func(http.ResponseWriter, *http.Request) {})
	conn, err := other.Dial(t.Context())
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	_, err = io.WriteString(conn, "x")
	require.ErrorIs(t, err, syscall.EPIPE)
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
}
