package api_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

// paths returns each operation with the given values for its parameters.
func paths(params map[string]string) (all [][2]string) {
	for operation := range api.Operations() {
		method, path, _ := strings.Cut(operation, " ")
		for name, value := range params {
			path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
		}
		all = append(all, [2]string{method, path})
	}
	return all
}

// Without access nothing passes. Each kind of caller is refused by its own
// code.
func TestAccess(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	g := newTarget(t, 200)
	id := p.endpointAt("shop", g.URL)
	delivery := p.publish("shop", "dep_1").Deliveries[0].ID
	replay := p.must("shop", "POST", "/apps/shop/replays", `{}`).str("id")
	params := map[string]string{"app": "shop", "endpoint": id, "delivery": delivery, "replay": replay, "event": "evt_1", "type": "deploy.live"}
	reading := 0
	for _, o := range paths(params) {
		method, path := o[0], o[1]
		p.refused(401, "unauthenticated", "", method, path, "")
		p.refused(403, "forbidden", "nobody", method, path, "")
		p.refused(503, "unavailable", "broken", method, path, "")
		ofApp := strings.HasPrefix(path, "/apps/")
		switch r := p.call("shop readonly", method, path, ""); {
		case method == "PUT" || path == "/apps" || path == "/stats" || path == "/deliveries":
			require.Equal(t, "operators_only", r.code(), o)
		case method == "GET" && !strings.HasSuffix(path, "/url") || strings.HasSuffix(path, "/count"):
			require.Equal(t, 200, r.status, o)
			reading++
		default:
			require.Equal(t, 403, r.status, o)
			require.Equal(t, "read_only", r.code(), o)
		}
		if ofApp {
			p.refused(404, "unknown_app", "blog", method, path, "")
			other := p.call("blog", "GET", "/apps/shop/stats", "").text
			require.Equal(t, p.call("blog", "GET", "/apps/blog/stats", "").text, other) // blog has never been used
		}
		if method != "GET" && !strings.HasSuffix(path, "/count") {
			p.refused(403, "read_only", "operator readonly", method, path, "")
		}
	}
	require.Greater(t, reading, 10)
	require.Contains(t, p.log.String(), "the authorizer failed")
}

// An ID of another app gets the answer of an ID that never existed.
func TestIDsOfOthersAreUnknown(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p *platform) {
		g := newTarget(t, 200)
		id := p.endpointAt("shop", g.URL)
		published := p.publish("shop", "dep_1")
		replay := p.must("shop", "POST", "/apps/shop/replays", `{}`).str("id")
		p.endpointAt("blog", g.URL)
		before := p.must("operator", "GET", "/apps/shop/endpoints/"+id, "").text
		for _, o := range paths(map[string]string{
			"app": "blog", "endpoint": id, "delivery": published.Deliveries[0].ID, "replay": replay, "event": published.EventID, "type": "deploy.live",
		}) {
			method, path := o[0], o[1]
			if !strings.ContainsAny(strings.TrimPrefix(path, "/apps/blog"), "_") || !strings.HasPrefix(path, "/apps/blog/") {
				continue
			}
			body := ""
			if method == "POST" || method == "PATCH" {
				body = `{}`
			}
			r := p.call("blog", method, path, body)
			require.Equal(t, 404, r.status, "%v: %s", o, r.text)
			never := p.call("blog", method, strings.Replace(path, id, "ep_never", 1), body)
			require.Equal(t, 404, never.status)
			require.NotContains(t, r.text, id)
		}
		for _, query := range []string{"endpoint=" + id, "event_id=" + published.EventID, "deployment_id=dep_1", "replay=" + replay} {
			require.Empty(t, p.must("blog", "GET", "/apps/blog/deliveries?"+query, "").items(), query)
		}
		require.Equal(t, before, p.must("operator", "GET", "/apps/shop/endpoints/"+id, "").text)
	})
}

// A page of another site can't use the cookies of its visitors.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	p := onSQLite(t, api.WithTrustedOrigins("https://admin.example.com"))
	id := p.endpointAt("shop", newTarget(t, 200).URL)
	path := "/apps/shop/endpoints/" + id + "/disable"
	own := "http://" + strings.TrimPrefix(strings.TrimSuffix(p.url, "/hooks"), "http://")
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Sec-Fetch-Site", "same-site", "Origin", own},
		{"Origin", "https://evil.example.com"},
		{"Origin", "null"},
		{"Origin", "null", "Sec-Fetch-Site", "cross-site"},
		{"Origin", "https://admin.example.com.evil.example"},
		{"Origin", own + ".evil.example"},
	} {
		p.refused(403, "cross_origin", "shop", "POST", path, `{}`, header...)
		p.refused(403, "cross_origin", "shop", "POST", path, "", header...)
	}
	require.Equal(t, "active", p.must("shop", "GET", "/apps/shop/endpoints/"+id, "").str("state"))
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "same-origin", "Origin", own}, {"Origin", own}, {}, {"Sec-Fetch-Site", "cross-site", "Origin", "https://admin.example.com"},
	} {
		p.must("shop", "POST", path, `{}`, header...)
	}
}

// Bodies are bounded JSON, in which every name is known and appears once.
func TestBodies(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	const path = "/apps/shop/endpoints"
	for _, kind := range []string{"application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "application/jsonp", ""} {
		p.refused(415, "content_type", "shop", "POST", path, `{"url":"https://example.com"}`, "Content-Type", kind)
	}
	p.refused(415, "content_type", "shop", "POST", path, `{}`, "Content-Encoding", "gzip")
	p.refused(413, "body_too_large", "shop", "POST", path, `{"description":"`+strings.Repeat("x", 10<<20)+`"}`)
	deep := strings.Repeat(`{"metadata":`, 100_000)
	p.refused(413, "body_too_large", "shop", "POST", path, deep)
	for body, code := range map[string]string{
		`{`:                     "json_invalid",
		`{"url":"a","url":"b"}`: "json_invalid",
		"{\"url\":\"\xff\"}":    "json_invalid",
		deep[:200_000]:          "url required",
		`{"metadata":` + strings.Repeat(`{"a":`, 9_999): "json_invalid",
		`{} {}`:                       "json_invalid",
		`[]`:                          "not_an_object",
		`"url"`:                       "not_an_object",
		`{"URL":"https://x.example"}`: "URL unknown_member",
		`{"url":1}`:                   "url kind_invalid",
		`{"metadata":{"a":{"b":1}}}`:  "metadata.a kind_invalid",
		`{"timeout_seconds":-1}`:      "timeout_seconds number_invalid",
		`{"timeout_seconds":1e300}`:   "timeout_seconds number_invalid",
		`{"url":"ftp://example.com"}`: "url url_invalid",
		`{"url":"https://127.0.0.1/","events":["deploy..x"]}`: "events events_invalid",
		`{"url":"https://10.0.0.1/"}`:                         "url host_unreachable",
		`{"url":"https://localhost.invalid/"}`:                "url host_unreachable",
	} {
		r := p.call("shop", "POST", path, body)
		if strings.HasPrefix(body, deep[:100]) {
			require.GreaterOrEqual(t, r.status, 400)
			require.Less(t, r.status, 500)
			continue
		}
		require.Equal(t, code, r.code(), "%.80s: %s", body, r.text)
		require.Less(t, r.status, 500)
	}
	require.Empty(t, p.must("operator", "GET", "/apps", "").items())
}

// What is not exactly a path of the API is unknown, and nothing redirects.
func TestPaths(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	require.NoError(t, p.RegisterApp(t.Context(), ".."))
	require.NoError(t, p.RegisterApp(t.Context(), "a/b"))
	id := p.endpointAt("shop", newTarget(t, 200).URL)
	for _, path := range []string{
		"/", "", "/apps/", "//apps", "/apps//endpoints", "/apps/shop/endpoints/", "/apps/shop/endpoints//url", "/APPS/shop/endpoints",
		"/apps/shop/endpoints/" + id + "/url/", "/apps/blog%2F..%2Fshop/endpoints", "/%61pps/shop/endpoints",
		"/apps/shop/endpoints/" + id + ";a=b", "/apps/shop/endpoints/" + id + "%00", "/apps/shop/endpoints/x%2F..%2F" + id,
	} {
		r := p.call("shop", "GET", path, "")
		require.Equal(t, 404, r.status, "%q: %s", path, r.text)
		require.Empty(t, r.header.Get("Location"), path)
	}
	for path, allow := range map[string]string{
		"/apps/shop/endpoints": "GET, POST", "/apps/shop/endpoints/" + id: "DELETE, GET, PATCH", "/apps/shop": "PUT", "/openapi.json": "GET",
	} {
		for _, method := range []string{"TRACE", "OPTIONS", "PROPFIND", "post"} {
			r := p.call("operator", method, path, "")
			require.Equal(t, 405, r.status, "%s %s", method, path)
			require.Equal(t, allow, r.header.Get("Allow"))
		}
	}
	p.refused(405, "method_not_allowed", "shop", "POST", "/apps/shop/endpoints/"+id, "", "X-HTTP-Method-Override", "DELETE")
	head := p.call("shop", "HEAD", "/apps/shop/endpoints/"+id, "")
	require.Equal(t, 200, head.status)
	require.Empty(t, head.text)
	require.Empty(t, p.must("..", "GET", "/apps/%2E%2E/endpoints", "").items())
	require.Empty(t, p.must("a/b", "GET", "/apps/a%2Fb/endpoints", "").items())
	for query, code := range map[string]string{
		"?cursor=a&cursor=b": "cursor parameter_repeated", "?offset=3": "offset unknown_parameter", "?a=%zz": "query_invalid", "?a;b": "query_invalid",
		"?since=yesterday": "since time_invalid", "?state=unheard": "state states_invalid", "?type=a,b": "type parameter_repeated",
	} {
		require.Equal(t, code, p.call("shop", "GET", "/apps/shop/deliveries"+query, "").code(), query)
	}
}

// Headers that repeat or lie change nothing.
func TestHeaders(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	id := p.endpointAt("shop", newTarget(t, 200).URL)
	for _, match := range []string{`1`, `"x"`, `W/"1"`, `"1", "2"`, `""`, `"-1"`, `"0"`, `"99999999999999999999"`} {
		p.refused(400, "if_match_invalid", "shop", "PATCH", "/apps/shop/endpoints/"+id, `{}`, "If-Match", match)
	}
	p.must("shop", "PATCH", "/apps/shop/endpoints/"+id, `{}`, "If-Match", "*")

	// net/http refuses most of what is malformed. What it lets pass is refused
	// here.
	address := strings.TrimPrefix(strings.TrimSuffix(p.url, "/hooks"), "http://")
	for _, head := range []string{
		"POST /hooks/apps/shop/endpoints HTTP/1.1\r\nHost: x\r\nAuthorization: shop\r\nContent-Type: application/json\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: 2\r\n\r\n{}",
		"POST /hooks/apps/shop/endpoints HTTP/1.1\r\nHost: x\r\nAuthorization: shop\r\nContent-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n",
		"GET /hooks/../hooks/apps/shop/endpoints/" + id + "/url HTTP/1.1\r\nHost: x\r\nAuthorization: blog\r\n\r\n",
		"GET http://other/hooks/apps/shop/endpoints HTTP/1.1\r\nHost: x\r\nAuthorization: blog\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		_, err = io.WriteString(conn, head)
		require.NoError(t, err)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.GreaterOrEqual(t, answer.StatusCode, 300, head)
		require.Less(t, answer.StatusCode, 500, head)
		require.NoError(t, answer.Body.Close())
		require.NoError(t, conn.Close())
	}
	require.Len(t, p.must("shop", "GET", "/apps/shop/endpoints", "").items(), 1)
}

// Whatever a client sends, the answer is JSON, says 2xx or 4xx, and is not
// about another app.
func FuzzRequests(f *testing.F) {
	for operation := range api.Operations() {
		method, path, _ := strings.Cut(operation, " ")
		f.Add(method, strings.NewReplacer("{app}", "blog", "{", "", "}", "").Replace(path), "limit=3", `{"url":"https://127.0.0.1/x"}`)
	}
	f.Add("GET", "/apps/%2e%2e/victim/endpoints", "cursor=AA&state=failed,,", "")
	f.Add("PATCH", "/apps/blog/endpoints/ep_1", "", `{"timeout_seconds":1e999,"metadata":{"":""}}`)
	o, err := outbox.OpenSQLite(f.Context(), filepath.Join(f.TempDir(), "outbox.db"), options(f)...)
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, o.Close()) })
	for _, app := range []string{"victim", "blog"} {
		require.NoError(f, o.RegisterApp(f.Context(), app))
	}
	h, err := api.New(o, byToken, api.WithLogger(newLogger(io.Discard)))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		r, err := http.NewRequest(method, "http://x/", strings.NewReader(body))
		if err != nil {
			t.Skip("not a method")
		}
		u, err := url.ParseRequestURI(path)
		if err != nil {
			t.Skip("not a path")
		}
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = u.Path, u.RawPath, query
		r.Header.Set("Authorization", "blog")
		r.Header.Set("Content-Type", "application/json")
		w := &recorded{discard: discard{header: http.Header{}}}
		h.ServeHTTP(w, r)
		if w.status < 200 || w.status >= 500 && w.status != 503 {
			t.Fatalf("%s %s?%s: %d %s", method, path, query, w.status, w.text.String())
		}
		if strings.Contains(w.text.String(), `"app":"victim"`) {
			t.Fatal(w.text.String())
		}
	})
}

// recorded keeps the answer's text.
type recorded struct {
	discard

	text strings.Builder
}

func (r *recorded) Write(b []byte) (int, error) {
	r.status = max(r.status, http.StatusOK)
	return r.text.Write(b)
}
