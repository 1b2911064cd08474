package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

const apiToken = "canary-token-of-the-shop"

// platform is a real outbox behind its management API.
type platform struct {
	*outbox.App

	url      string
	endpoint string
	secret   string
}

// newPlatform starts an outbox whose one endpoint is at target.
func newPlatform(t *testing.T, target string) *platform {
	t.Helper()
	key, err := outbox.NewSealingKey("test", []byte("0123456789abcdefghijklmnopqrstuv"))
	require.NoError(t, err)
	o, err := outbox.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "outbox.db"), outbox.WithSealingKeys(key),
		outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))), outbox.WithSchedule(outbox.SchedulePlatform, sender.Once))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	h, err := api.New(o, func(r *http.Request) (api.Access, error) {
		if r.Header.Get("Authorization") != "Bearer "+apiToken {
			return api.Access{}, fmt.Errorf("no token: %w", api.ErrUnauthenticated)
		}
		return api.Access{App: "shop", Actor: "desk"}, nil
	})
	require.NoError(t, err)
	server := httptest.NewServer(http.StripPrefix("/webhooks", h))
	t.Cleanup(server.Close)
	p := &platform{App: o.App("shop"), url: server.URL + "/webhooks"}
	e, secret, err := p.CreateEndpoint(t.Context(), outbox.EndpointConfig{URL: sender.NewURL(target), Events: []string{"*"}})
	require.NoError(t, err)
	p.endpoint, p.secret = e.ID, secret.Reveal()
	require.NoError(t, o.Start(t.Context()))
	return p
}

// publish publishes events and waits until they are delivered.
func (p *platform) publish(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		_, err := p.Publish(t.Context(), &payload.Event{
			Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: fmt.Sprintf("dep_%d", i), App: "shop", Environment: "production",
		})
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		page, err := p.Deliveries(t.Context(), outbox.DeliveryFilter{States: []outbox.State{outbox.Delivered}}, outbox.Page{Limit: 500})
		return err == nil && len(page.Items) == n
	}, time.Minute, 10*time.Millisecond)
}

// The deliveries come from the API with their exact bodies and IDs, are signed
// with the endpoint's secret, and reach a listener.
func TestReplay_OutboxToAListener(t *testing.T) {
	t.Parallel()
	first := newLocal(t, http.StatusOK, "")
	p := newPlatform(t, first.url)
	p.publish(t, 3)
	e := env{"HOOKTOOL_SECRET": p.secret, "HOOKTOOL_API_TOKEN": apiToken}
	second := newLocal(t, http.StatusOK, "")
	l := listen(t, t.TempDir(), e, "-forward", second.url, "-count", "3")
	r := program(t, t.TempDir(), e, "replay", "-api", p.url, "-app", "shop", "-since", "1h", "-type", "deploy.live", "-endpoint", p.endpoint,
		"-state", "delivered", "-rate", "1000", "-url", l.url, "-json")
	require.Equal(t, 0, r.code, r.stdout+r.stderr)
	require.Equal(t, 0, l.end())
	original, _ := first.got()
	again, headers := second.got()
	require.ElementsMatch(t, original, again, "the exact bytes")
	for i, line := range r.lines(t)[:3] {
		require.Equal(t, fmt.Sprintf("dep_%d", i), line["deployment"], "oldest first")
		require.Equal(t, line["delivery"], headers[i].Get("Webhook-Id"))
	}
	require.NotContains(t, r.stdout+r.stderr, apiToken)

	r = program(t, t.TempDir(), env{"HOOKTOOL_API_TOKEN": apiToken}, "replay", "-api", p.url, "-app", "shop", "-url", second.url)
	require.Equal(t, 0, r.code, r.stderr)
	require.Contains(t, r.stderr, "warning: the management API has no signatures")
}

// The outbox sends by itself, and the command follows it.
func TestReplay_ByTheOutbox(t *testing.T) {
	t.Parallel()
	service := newLocal(t, http.StatusOK, "")
	p := newPlatform(t, service.url)
	p.publish(t, 2)
	e := env{"HOOKTOOL_API_TOKEN": apiToken}
	r := program(t, t.TempDir(), e, "replay", "-api", p.url, "-app", "shop", "-state", "delivered", "-rate", "100", "-json")
	require.Equal(t, 0, r.code, r.stdout+r.stderr)
	lines := r.lines(t)
	last := lines[len(lines)-1]
	require.Equal(t, "replay", last["kind"])
	require.InDelta(t, 2, last["delivered"], 0)
	require.Equal(t, true, last["complete"])
	bodies, _ := service.got()
	require.Len(t, bodies, 4)
	r = program(t, t.TempDir(), e, "replay", "-api", p.url, "-app", "shop", "-resume", last["id"].(string))
	require.Equal(t, 0, r.code, r.stdout+r.stderr)
	require.Regexp(t, `(?m)^TIME +REPLAY +SCHEDULED +PENDING +DELIVERED +FAILED +SKIPPED$`, r.stdout)
}

// An interrupt ends the command and not the replay, and the output says how to
// follow it.
func TestReplay_ByTheOutboxEndsBySignal(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a process can't send an interrupt to another")
	}
	service := newLocal(t, http.StatusOK, "")
	p := newPlatform(t, service.url)
	p.publish(t, 2)
	cmd := prepared(t, t.TempDir(), env{"HOOKTOOL_API_TOKEN": apiToken}, "replay", "-api", p.url, "-app", "shop", "-state", "delivered", "-rate", "0.01", "-json")
	pipe, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	l := &listening{t: t, cmd: cmd, out: bufio.NewScanner(pipe)}
	id := l.next()["id"].(string)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Equal(t, 3, l.end())
	require.Contains(t, l.lines[len(l.lines)-1]["error"], "the outbox goes on; follow it with -resume "+id)
}

// A long list has several pages, the newest first.
func TestReplay_ReadsEveryPage(t *testing.T) {
	t.Parallel()
	service := newLocal(t, http.StatusOK, "")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /apps/a%2Fb/deliveries", func(w http.ResponseWriter, r *http.Request) {
		answer := `{"items":[{"id":"d4"},{"id":"d3"}],"next":"n"}`
		if r.FormValue("cursor") == "n" {
			answer = `{"items":[{"id":"d2"},{"id":"d1"}]}`
		}
		_, _ = io.WriteString(w, answer) // the client fails then
	})
	mux.HandleFunc("GET /apps/a%2Fb/deliveries/{id}", func(w http.ResponseWriter, r *http.Request) {
		text := `{"id":"` + r.PathValue("id") + `","type":"deploy.live","body_base64":"/w=="}`
		if r.PathValue("id") == "d2" {
			text = `{"id":"d2","type":"deploy.live"}`
		}
		_, _ = io.WriteString(w, text) // the client fails then
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	r := inProcess(nil, "", "replay", "-api", server.URL, "-app", "a/b", "-url", service.url, "-rate", "1000", "-json")
	require.Equal(t, 1, r.code, "one has no body any more")
	var ids []string
	for _, line := range r.lines(t)[1:5] {
		ids = append(ids, line["delivery"].(string))
	}
	require.Equal(t, []string{"d1", "d2", "d3", "d4"}, ids)
	require.Contains(t, r.stdout, "no longer has its body")
	bodies, _ := service.got()
	require.Equal(t, []string{"\xff", "\xff", "\xff"}, bodies)
}

func TestReplay_ErrorsOfTheAPI(t *testing.T) {
	t.Parallel()
	service := newLocal(t, http.StatusOK, "<html>")
	p := newPlatform(t, service.url)
	for says, c := range map[string]struct {
		env  env
		args []string
		code int
	}{
		"check HOOKTOOL_API_TOKEN and -app":   {nil, []string{"-api", p.url, "-app", "shop"}, 1},
		"unknown_app":                         {env{"HOOKTOOL_API_TOKEN": apiToken}, []string{"-api", p.url, "-app", "other", "-url", service.url}, 1},
		"not that of a management API":        {nil, []string{"-api", service.url, "-app", "shop", "-url", service.url}, 1},
		"needs the name of the app":           {nil, []string{"-api", p.url}, 2},
		"-since \"soon\"":                     {nil, []string{"-api", p.url, "-app", "shop", "-since", "soon"}, 2},
		"-state \"lost\"":                     {nil, []string{"-api", p.url, "-app", "shop", "-state", "lost"}, 2},
		"give recorded files or -api":         {nil, []string{"-api", p.url, "-app", "shop", "file"}, 2},
		"-since chooses deliveries":           {nil, []string{"-since", "1h", "file"}, 2},
		"nothing to send":                     {nil, nil, 2},
		"nothing listens at http://127.0.0.1": {nil, []string{"-api", "http://127.0.0.1:1", "-app", "shop"}, 1},
		"must not contain a user name":        {nil, []string{"-api", "http://u:canary@127.0.0.1", "-app", "shop"}, 2},
		"-rate 0":                             {nil, []string{"-rate", "0", "file"}, 2},
	} {
		r := inProcess(c.env, "", append([]string{"replay"}, c.args...)...)
		require.Equal(t, c.code, r.code, "%s: %s%s", says, r.stdout, r.stderr)
		require.Contains(t, r.stderr, says)
		require.NotContains(t, r.stderr, "canary")
		require.NotRegexp(t, goNames, r.stderr)
	}
}
