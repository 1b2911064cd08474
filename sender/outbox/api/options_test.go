package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox/api"
)

// Only the answer to an unauthenticated request says how to authenticate.
func TestWithChallenge(t *testing.T) {
	t.Parallel()
	p := onSQLite(t, api.WithChallenge(`Bearer realm="shop"`))
	require.Equal(t, `Bearer realm="shop"`, p.call("", "GET", "/apps/shop/endpoints", "").header.Get("WWW-Authenticate"))
	for _, token := range []string{"shop", "nobody", "broken", "blog"} {
		require.NotContains(t, p.call(token, "GET", "/apps/shop/endpoints", "").header, "Www-Authenticate", token)
	}
	require.NotContains(t, onSQLite(t).call("", "GET", "/apps/shop/endpoints", "").header, "Www-Authenticate")
}

// A body that does not arrive is refused after the time limit.
func TestWithReadTimeout(t *testing.T) {
	t.Parallel()
	p := onSQLite(t, api.WithReadTimeout(50*time.Millisecond))
	at, err := url.Parse(p.url)
	require.NoError(t, err)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", at.Host)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprintf(conn, "POST %s/apps/shop/endpoints HTTP/1.1\r\nHost: %s\r\nAuthorization: shop\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{", at.Path, at.Host)
	require.NoError(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestTimeout, answer.StatusCode)
	require.Contains(t, string(text), "body_timeout")
}
