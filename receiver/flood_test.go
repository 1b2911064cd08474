package receiver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
)

// A flood of requests costs a bounded number of lines a second, whatever they
// are refused for, and no request goes uncounted.
func TestLog_FloodIsLimited(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	const perSecond, seconds = 500, 10
	signed := func(body string) func(i int) *http.Request {
		return func(i int) *http.Request {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			require.NoError(t, scheme.Sign(t.Context(), r, fmt.Sprint("whk_", i), time.Now(), []byte(body)))
			return r
		}
	}
	for name, c := range map[string]struct {
		status  int
		level   string
		request func(i int) *http.Request
		down    bool
		handler error
	}{
		"method": {status: 405, level: "WARN", request: func(int) *http.Request { return httptest.NewRequest(http.MethodGet, "/", nil) }},
		"unsigned": {status: 401, level: "WARN", request: func(int) *http.Request {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
			r.Header.Set("Content-Type", "application/json")
			return r
		}},
		"invalid":    {status: 400, level: "WARN", request: signed("{}")},
		"store down": {status: 503, level: "ERROR", request: signed(eventBody), down: true},
		"handler":    {status: 500, level: "ERROR", request: signed(eventBody), handler: errors.New("no")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				store := receivertest.NewStore(t)
				if c.down {
					store.Down()
				}
				rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "flood"), receiver.WithLogger(slog.New(slog.NewTextHandler(&out, nil))))
				require.NoError(t, err)
				h := rcv.Events(func(context.Context, *payload.Event) error { return c.handler })
				for i := range perSecond * seconds {
					w := httptest.NewRecorder()
					h.ServeHTTP(w, c.request(i))
					require.Equal(t, c.status, w.Code)
					time.Sleep(time.Second / perSecond)
				}
				lines := strings.Split(strings.TrimSpace(out.String()), "\n")
				require.LessOrEqual(t, len(lines), 1+20+seconds/5+1)
				require.Greater(t, len(lines), 20)
				require.Contains(t, lines[1], "level="+c.level) // the first line is about the recorder
				require.Contains(t, lines[len(lines)-1], "left_out=2")
			})
		})
	}
}
