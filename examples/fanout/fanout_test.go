package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/programtest"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
)

func TestFanOut(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]func(t *testing.T) []string{
		"sqlite":   func(*testing.T) []string { return nil },
		"postgres": func(t *testing.T) []string { return []string{"-database", newDatabase(t, servicetest.PostgresURL(t))} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testFanOut(t, args(t))
		})
	}
}

func testFanOut(t *testing.T, args []string) {
	w := newWorld(t, args...)
	p := w.start()
	chat, audit := w.service("chat", "deploy.failed"), w.service("audit", "*")

	id := w.send(event(payload.DeployFailed, "dep_1"))
	w.sending.Wait()
	require.Equal(t, id, chat.gets(w, "dep_1"), "the ID of the platform's delivery")
	require.Equal(t, id, audit.gets(w, "dep_1"))
	require.NotEqual(t, chat.of("dep_1")[0].delivery, audit.of("dep_1")[0].delivery, "each service has its own delivery")

	// The platform has an ID for the event, and sends it under another delivery
	// again.
	live := event(payload.DeployLive, "dep_2")
	require.NoError(t, live.Extra.Set("event_id", "evt-of-the-platform"))
	w.send(live)
	w.send(live)
	w.sending.Wait()
	w.send(event(payload.DeployFailed, "dep_3"))
	w.sending.Wait()
	require.Equal(t, "evt-of-the-platform", audit.gets(w, "dep_2"))
	chat.gets(w, "dep_3")
	audit.gets(w, "dep_3")
	assert.Len(t, audit.of("dep_2"), 1)
	assert.Empty(t, chat.of("dep_2"), "its filter refuses the event")

	// A service has an event before its delivery is recorded.
	var log string
	programtest.Eventually(t, func() bool {
		log = w.log()
		return strings.Count(log, " delivered ") == 5
	}, func() string { return log })
	require.Len(t, strings.Split(strings.TrimSpace(log), "\n"), 1+5, log)
	require.Regexp(t, `^AT +EVENT +TYPE +DEPLOYMENT +SERVICE +STATE`, log)
	require.Regexp(t, `evt-of-the-platform +deploy.live +dep_2 +audit +delivered +1`, log)
	log = w.log("-event", id)
	require.Regexp(t, `deploy.failed +dep_1 +(chat|audit) +delivered`, log)
	require.NotContains(t, log, "dep_2")
	require.Contains(t, p.Output(), "services=2")
}

// log returns what the program prints about its deliveries.
func (w *world) log(args ...string) string {
	var log bytes.Buffer
	env := map[string]string{"FANOUT_SEALING_KEY": w.key}
	args = slices.Concat(w.args, []string{"-log"}, args)
	require.NoError(w.t, run(context.Background(), args, func(name string) string { return env[name] }, &log, io.Discard))
	return log.String()
}

// Nobody manages services without the token, and forged events are refused.
func TestAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start()
	for path, want := range map[string]int{
		"/api/apps": 401, "/console/": 401, "/livez": 200, "/readyz": 200, "/webhooks/deploy": 405, "/": 404,
	} {
		for _, password := range []string{"", "wrong"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Base+path, nil)
			require.NoError(t, err)
			if password != "" {
				req.SetBasicAuth("somebody", password)
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, want, resp.StatusCode, path)
			if want == 401 {
				require.Contains(t, resp.Header.Get("WWW-Authenticate"), "Basic")
			}
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Base+"/console/", nil)
	require.NoError(t, err)
	req.SetBasicAuth("somebody", apiToken)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	page, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Contains(t, string(page), "Fan-out")

	forged, err := http.Post(p.Base+"/webhooks/deploy", "application/json", bytes.NewBufferString(`{"event":"deploy.live"}`))
	require.NoError(t, err)
	require.NoError(t, forged.Body.Close())
	require.Equal(t, http.StatusUnauthorized, forged.StatusCode)
	http.DefaultClient.CloseIdleConnections()
}

func TestParse(t *testing.T) {
	t.Parallel()
	good := func() map[string]string {
		return map[string]string{
			"FANOUT_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "FANOUT_TOKEN": apiToken,
			"FANOUT_SEALING_KEY": base64.StdEncoding.EncodeToString([]byte("0123456789abcdefghijklmnopqrstuv")),
		}
	}
	for _, c := range []struct {
		name, value string
		args        []string
		says        string
	}{
		{"FANOUT_SECRET", "", nil, "FANOUT_SECRET is not set"},
		{"FANOUT_TOKEN", "hunter2", nil, "FANOUT_TOKEN: want at least 16 characters"},
		{"FANOUT_SEALING_KEY", "hunter2", nil, "FANOUT_SEALING_KEY: want 32 bytes in base64"},
		{"FANOUT_SEALING_KEY", "", []string{"-log"}, "FANOUT_SEALING_KEY"},
		{"", "", []string{"-event", "evt_1"}, "-event: give -log, too"},
		{"", "", []string{"-allow-networks", "10"}, "want a network"},
		{"", "", []string{"x"}, "unexpected argument"},
	} {
		env := good()
		env[c.name] = c.value
		_, err := parse(c.args, func(name string) string { return env[name] }, io.Discard)
		require.ErrorContains(t, err, c.says)
		require.NotContains(t, err.Error(), "hunter2")
	}
	env := map[string]string{"FANOUT_SEALING_KEY": good()["FANOUT_SEALING_KEY"]}
	_, err := parse([]string{"-log"}, func(name string) string { return env[name] }, io.Discard)
	require.NoError(t, err, "the log needs no secret")
	require.Equal(t, "one.line", printable("one\nline"))
}
