package api_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

func newLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// A customer's day: an endpoint is created, tested, fails, is fixed, and gets
// what it missed.
func TestACustomersDay(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p *platform) {
		require.NoError(t, p.Start(t.Context()))
		p.must("operator", "PUT", "/apps/shop", "")
		down, good := newTarget(t, 503), newTarget(t, 200)
		created := p.must("shop", "POST", "/apps/shop/endpoints", `{
			"url": "`+down.URL+`/hook?key=s3cret", "description": "checkout", "events": ["deploy.*"], "header": {"x-team": "payments"},
			"timeout_seconds": 2.5, "rate_limit": 50, "metadata": {"team": "checkout"}
		}`)
		require.Equal(t, 201, created.status)
		id, secret := created.str("endpoint", "id"), created.str("secret")
		require.Regexp(t, `^whsec_`, secret)
		require.Equal(t, "endpoints/"+id, created.header.Get("Location"))
		endpoint := "/apps/shop/endpoints/" + id

		read := p.must("shop", "GET", endpoint, "")
		require.Equal(t, created.header.Get("ETag"), read.header.Get("ETag"))
		require.Equal(t, []any{"X-Team"}, read.body["header_names"])
		for _, hidden := range []string{secret, "s3cret", "payments"} {
			require.NotContains(t, read.text, hidden)
		}
		require.Equal(t, down.URL+"/hook?key=s3cret", p.must("shop", "GET", endpoint+"/url", "").str("url"))

		test := p.must("shop", "POST", endpoint+"/test", "")
		require.Equal(t, "failed", test.str("state"))
		require.Equal(t, "server_error", test.str("problem", "code"))
		require.Len(t, test.body["attempt_log"], 1)

		id1 := p.publish("shop", "dep_1").Deliveries[0].ID
		p.eventually(func() bool { return p.must("shop", "GET", "/apps/shop/deliveries/"+id1, "").str("state") == "failed" })
		delivery := p.must("shop", "GET", "/apps/shop/deliveries/"+id1, "")
		require.Contains(t, delivery.str("body"), `"deployment_id":"dep_1"`)
		require.NotContains(t, delivery.text, "operator_error")
		require.NotContains(t, delivery.text, "127.0.0.1")
		require.Contains(t, p.must("operator", "GET", "/apps/shop/deliveries/"+id1, "").text, "operator_error")

		changed := p.must("shop", "PATCH", endpoint, `{"url": "`+good.URL+`", "header": {}}`, "If-Match", read.header.Get("ETag"))
		require.Empty(t, changed.body["header_names"])
		p.refused(412, "endpoint_changed", "shop", "PATCH", endpoint, `{"description": "mine"}`, "If-Match", read.header.Get("ETag"))
		require.Equal(t, 202, p.must("shop", "POST", "/apps/shop/deliveries/"+id1+"/resend", "").status)
		p.eventually(func() bool {
			return p.must("shop", "GET", "/apps/shop/deliveries/"+id1, "").str("state") == "delivered"
		})

		disabled := p.must("shop", "POST", endpoint+"/disable", `{"reason": "maintenance"}`)
		require.Equal(t, "maintenance", disabled.str("reason"))
		p.publish("shop", "dep_2")
		missed := p.must("shop", "GET", endpoint+"/missed", "")
		require.InDelta(t, 1, missed.body["missed"].(map[string]any)["n"], 0)
		p.refused(409, "endpoint_disabled", "shop", "POST", endpoint+"/missed", `{}`)
		p.must("shop", "POST", endpoint+"/enable", `{"send_missed": true, "rate_per_second": 100}`)
		p.eventually(func() bool {
			return len(p.must("shop", "GET", "/apps/shop/deliveries?deployment_id=dep_2&state=delivered", "").items()) == 1
		})

		rotated := p.must("shop", "POST", endpoint+"/rotate", `{"grace_seconds": 3600}`)
		require.Regexp(t, `^whsec_`, rotated.str("secret"))
		require.NotEqual(t, secret, rotated.str("secret"))
		require.NotEqual(t, changed.header.Get("ETag"), rotated.header.Get("ETag"))

		require.Equal(t, "shop", p.must("shop", "GET", endpoint+"/stats", "").str("app"))
		require.Contains(t, p.must("shop", "GET", "/apps/shop/stats", "").body["states"], "delivered")
		require.Equal(t, 204, p.must("shop", "DELETE", endpoint, "").status)
		p.refused(404, "unknown_endpoint", "shop", "GET", endpoint, "")
		for _, hidden := range []string{secret, "s3cret", "payments", rotated.str("secret")} {
			require.NotContains(t, p.log.String(), hidden)
		}
		require.Contains(t, p.log.String(), `msg="outbox api: rotateSecret" operation=rotateSecret actor="carl of shop" operator=false app=shop endpoint=`+id)
	})
}

// A replay is counted, started, seen in the list, and canceled.
func TestReplays(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p *platform) {
		require.NoError(t, p.Start(t.Context()))
		g := newTarget(t, 503)
		id := p.endpointAt("shop", g.URL)
		for _, deployment := range []string{"dep_1", "dep_2", "dep_3"} {
			p.publish("shop", deployment)
		}
		p.eventually(func() bool { return len(p.must("shop", "GET", "/apps/shop/deliveries?state=failed", "").items()) == 3 })
		g.set(200)
		count := p.must("shop readonly", "POST", "/apps/shop/replays/count", `{"filter": {"endpoint": "`+id+`"}}`)
		require.Equal(t, map[string]any{"n": 3.0, "more": false}, count.body["deliveries"])
		started := p.must("shop", "POST", "/apps/shop/replays", `{"filter": {"endpoint": "`+id+`"}, "rate_per_second": 0.001}`)
		require.Equal(t, 202, started.status)
		require.Equal(t, "replays/"+started.str("id"), started.header.Get("Location"))
		replay := "/apps/shop/replays/" + started.str("id")
		p.eventually(func() bool { return p.must("shop", "GET", replay, "").body["delivered"] == 1.0 })
		canceled := p.must("shop", "POST", replay+"/cancel", "")
		require.NotEmpty(t, canceled.str("canceled_at"))
		require.InDelta(t, 2, canceled.body["canceled"], 0)
		require.Equal(t, started.str("id"), p.must("shop", "GET", "/apps/shop/replays", "").items()[0]["id"])
		p.refused(422, "filter.states states_invalid", "shop", "POST", "/apps/shop/replays", `{"filter": {"states": ["pending"]}}`)
		p.refused(422, "filter.answer answer_class_invalid", "shop", "POST", "/apps/shop/replays/count", `{"filter": {"answer": "6xx"}}`)
		p.refused(422, "answer answer_class_invalid", "shop", "GET", "/apps/shop/deliveries?answer=503", "")
		require.Len(t, p.must("shop", "GET", "/apps/shop/deliveries?answer=5xx", "").items(), 2)
		require.Empty(t, p.must("shop", "GET", "/apps/shop/deliveries?answer=4xx", "").items())
		p.refused(422, "rate_per_second rate_invalid", "shop", "POST", "/apps/shop/replays", `{"rate_per_second": -1}`)
		p.refused(404, "unknown_replay", "shop", "GET", replay+"x", "")
		p.refused(404, "unknown_replay", "shop", "POST", replay+"x/cancel", "")
	})
}

// Consumers that poll get each event once. An erased one has no payload.
func TestEvents(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p *platform) {
		p.must("operator", "PUT", "/apps/shop", "")
		first := p.publish("shop", "dep_1").EventID
		page := p.must("shop", "GET", "/apps/shop/events?limit=1", "")
		require.Equal(t, first, page.items()[0]["id"])
		require.Equal(t, "dep_1", page.items()[0]["payload"].(map[string]any)["deployment_id"])
		next := "/apps/shop/events?limit=1&cursor=" + page.str("next")
		require.Empty(t, p.must("shop", "GET", next, "").items())
		second := p.publish("shop", "dep_2").EventID
		require.Eventually(t, func() bool { return len(p.must("shop", "GET", next, "").items()) > 0 }, patience, 10*time.Millisecond)
		require.Equal(t, second, p.must("shop", "GET", next, "").items()[0]["id"])
		require.Empty(t, p.must("shop", "GET", "/apps/shop/events?type=deploy.failed,build.completed", "").items())
		require.Equal(t, 204, p.must("shop", "DELETE", "/apps/shop/events/"+first, "").status)
		require.NotContains(t, p.must("shop", "GET", "/apps/shop/events?limit=1", "").items()[0], "payload")
		p.refused(404, "unknown_event", "shop", "DELETE", "/apps/shop/events/"+first+"x", "")
		p.refused(422, "cursor cursor_invalid", "shop", "GET", "/apps/shop/events?cursor=x", "")
	})
}

// Lists come in pages, each item once.
func TestPages(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p *platform) {
		g := newTarget(t, 200)
		for _, path := range []string{"/a", "/b", "/c"} {
			p.endpointAt("shop", g.URL+path)
		}
		for _, deployment := range []string{"dep_1", "dep_2", "dep_3"} {
			p.publish("shop", deployment)
			p.must("shop", "POST", "/apps/shop/replays", `{}`)
		}
		p.must("operator", "PUT", "/apps/a%2Fb", "")
		p.must("operator", "PUT", "/apps/blog", "")
		for path, want := range map[string]int{
			"/apps/shop/endpoints": 3, "/apps/shop/deliveries": 9, "/deliveries": 9, "/apps": 3, "/apps/shop/replays": 3, "/event-types": 8,
		} {
			seen, cursor := map[string]bool{}, ""
			for {
				r := p.must("operator", "GET", path+"?limit=2&cursor="+cursor, "")
				all := r.body["items"].([]any)
				require.LessOrEqual(t, len(all), 2)
				for _, one := range all {
					text, _ := json.Marshal(one)
					require.False(t, seen[string(text)], path)
					seen[string(text)] = true
				}
				if cursor = r.str("next"); cursor == "" {
					break
				}
			}
			require.Len(t, seen, want, path)
			p.refused(422, "cursor cursor_invalid", "operator", "GET", path+"?cursor=x", "")
			p.refused(422, "limit number_invalid", "operator", "GET", path+"?limit=0", "")
			p.refused(422, "limit number_invalid", "operator", "GET", path+"?limit=501", "")
			p.refused(422, "limit number_invalid", "operator", "GET", path+"?limit=x", "")
		}
	})
}

// Of many creations with one key, one makes an endpoint and shows its secret.
func TestIdempotentCreation(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p *platform) {
		g := newTarget(t, 200)
		body := `{"url": "` + g.URL + `"}`
		var (
			mu     sync.Mutex
			ids    = map[string]int{}
			shown  int
			callOf sync.WaitGroup
		)
		for range 64 {
			callOf.Go(func() {
				r := p.call("shop", "POST", "/apps/shop/endpoints", body, "Idempotency-Key", "k-1")
				mu.Lock()
				defer mu.Unlock()
				ids[r.str("endpoint", "id")]++
				if r.str("secret") != "" {
					shown++
				}
			})
		}
		callOf.Wait()
		require.Len(t, ids, 1)
		require.NotContains(t, ids, "")
		require.Equal(t, 1, shown)
		require.Len(t, p.must("shop", "GET", "/apps/shop/endpoints", "").items(), 1)
		p.refused(409, "idempotency_key_reused", "shop", "POST", "/apps/shop/endpoints", `{"url": "`+g.URL+`/other"}`, "Idempotency-Key", "k-1")
		p.refused(422, "Idempotency-Key idempotency_key_invalid", "shop", "POST", "/apps/shop/endpoints", body, "Idempotency-Key", "ä")
		p.refused(422, "Idempotency-Key required", "shop", "POST", "/apps/shop/endpoints", body, "Idempotency-Key", "")
		p.refused(409, "duplicate_endpoint", "shop", "POST", "/apps/shop/endpoints", body)
	})
}

// The types that a customer can subscribe to have schemas, and examples that
// are valid.
func TestEventTypes(t *testing.T) {
	t.Parallel()
	p := onSQLite(t, api.WithEventTypes(api.EventType{
		Type: "scale.completed", Description: "Instances were added.", Example: json.RawMessage(`{"event":"scale.completed"}`),
	}))
	all := p.must("shop", "GET", "/event-types", "").items()
	require.Len(t, all, 9)
	for _, one := range all {
		r := p.must("shop", "GET", "/event-types/"+one["type"].(string), "")
		require.Contains(t, r.body["schema"], "$schema")
		require.Equal(t, one["type"], r.str("example", "event"))
		if one["type"] == "scale.completed" {
			continue
		}
		example, err := json.Marshal(r.body["example"])
		require.NoError(t, err)
		event, err := payload.DecodeEvent(example)
		require.NoError(t, err, one["type"])
		require.Empty(t, event.Dropped)
	}
	p.refused(404, "unknown_type", "shop", "GET", "/event-types/deploy.unknown", "")
}

// The errors of the constructor name what is wrong.
func TestNew(t *testing.T) {
	t.Parallel()
	o := onSQLite(t).Outbox
	for want, try := range map[string]func() (*api.Handler, error){
		"the outbox is nil":     func() (*api.Handler, error) { return api.New(nil, byToken) },
		"the authorizer is nil": func() (*api.Handler, error) { return api.New(o, nil) },
		"an option is nil":      func() (*api.Handler, error) { return api.New(o, byToken, nil) },
		"WithLogger":            func() (*api.Handler, error) { return api.New(o, byToken, api.WithLogger(nil)) },
		"WithTrustedOrigins":    func() (*api.Handler, error) { return api.New(o, byToken, api.WithTrustedOrigins("admin")) },
		"WithReadTimeout":       func() (*api.Handler, error) { return api.New(o, byToken, api.WithReadTimeout(0)) },
		"WithChallenge":         func() (*api.Handler, error) { return api.New(o, byToken, api.WithChallenge("a\nb")) },
		"a type has no name":    func() (*api.Handler, error) { return api.New(o, byToken, api.WithEventTypes(api.EventType{})) },
		"the example of a.b": func() (*api.Handler, error) {
			return api.New(o, byToken, api.WithEventTypes(api.EventType{Type: "a.b"}))
		},
		"deploy.live is there already": func() (*api.Handler, error) {
			return api.New(o, byToken, api.WithEventTypes(api.EventType{Type: "deploy.live", Example: []byte(`{}`)}))
		},
		"the schema of a.b": func() (*api.Handler, error) {
			return api.New(o, byToken, api.WithEventTypes(api.EventType{Type: "a.b", Example: []byte(`{}`), Schema: []byte(`{`)}))
		},
	} {
		h, err := try()
		require.ErrorIs(t, err, api.ErrConfig, want)
		require.ErrorContains(t, err, want)
		require.Nil(t, h)
	}
	var zero api.Handler
	w := &discard{header: http.Header{}}
	r, err := http.NewRequestWithContext(t.Context(), "GET", "/apps", nil)
	require.NoError(t, err)
	zero.ServeHTTP(w, r)
	require.Equal(t, 500, w.status)
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// PROBLEMS.md has a heading for each code that the handler can send.
func TestProblemsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("PROBLEMS.md")
	require.NoError(t, err)
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = true
	}
	for code := range api.Codes() {
		require.True(t, documented[code], "PROBLEMS.md lacks %s", code)
		delete(documented, code)
	}
	require.Empty(t, documented, "PROBLEMS.md has codes that nothing sends")
}

// A database that fails is the service's fault, says nothing of itself, and is
// logged.
func TestAFailureIsLogged(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	require.NoError(t, p.Outbox.Close())
	p.refused(503, "unavailable", "shop", "GET", "/apps/shop/endpoints", "")
	require.Contains(t, p.log.String(), "outbox api: a request failed")
	require.Contains(t, p.log.String(), outbox.ErrClosed.Error())
	require.Equal(t, "5", p.call("shop", "GET", "/apps/shop/endpoints", "").header.Get("Retry-After"))
	require.Contains(t, p.log.String(), "operation=listEndpoints")
}

// A flood of requests that can't be authorized costs a bounded number of lines.
func TestFailuresAreLimited(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	for range 200 {
		p.refused(503, "unavailable", "broken", "GET", "/apps", "")
	}
	lines := strings.Count(p.log.String(), "the authorizer failed")
	require.Positive(t, lines)
	require.Less(t, lines, 100)
	for range 20 {
		p.must("operator", "PUT", "/apps/shop", "")
	}
	require.Equal(t, 20, strings.Count(p.log.String(), "registerApp"+`"`), "changes are never left out")
}
