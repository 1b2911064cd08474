package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

// Two validators accept the document.
func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(api.Document())
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context(), openapi3.EnableExamplesValidation()))

	v, _ := newValidator(t, api.Document())
	valid, faults := v.ValidateDocument()
	require.True(t, valid, "%v", faults)
}

func newValidator(t *testing.T, text []byte) (validator.Validator, libopenapi.Document) {
	t.Helper()
	doc, err := libopenapi.NewDocument(text)
	require.NoError(t, err)
	v, faults := validator.NewValidator(doc)
	require.Empty(t, faults)
	return v, doc
}

// closed returns the document without room for members that it does not
// describe. Clients must ignore such members, since later versions add some.
// The answers of this version have none.
func closed(t *testing.T) []byte {
	t.Helper()
	var doc map[string]any
	require.NoError(t, json.Unmarshal(api.Document(), &doc))
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if _, open := v["additionalProperties"]; v["type"] == "object" && v["properties"] != nil && !open {
				v["additionalProperties"] = false
			}
			for _, child := range v {
				visit(child)
			}
		case []any:
			for _, child := range v {
				visit(child)
			}
		}
	}
	visit(doc["components"].(map[string]any)["schemas"])
	text, err := json.Marshal(doc)
	require.NoError(t, err)
	return text
}

// session calls the API and checks every request and answer.
type session struct {
	t         *testing.T
	handler   http.Handler
	validator validator.Validator
	succeeded map[string]bool // operations, as method and path of the document
}

// call sends a request that fits the document.
func (s *session) call(method, path, body string, header ...string) map[string]any {
	s.t.Helper()
	return s.send(true, method, path, body, header...)
}

// wrong sends a request that need not fit.
func (s *session) wrong(method, path, body string, header ...string) map[string]any {
	s.t.Helper()
	return s.send(false, method, path, body, header...)
}

func (s *session) send(fits bool, method, path, body string, header ...string) map[string]any {
	s.t.Helper()
	newRequest := func() *http.Request {
		r, err := http.NewRequestWithContext(context.Background(), method, "http://localhost"+path, strings.NewReader(body))
		require.NoError(s.t, err)
		if body == "" {
			r.Body = http.NoBody
		} else {
			r.Header.Set("Content-Type", "application/json")
		}
		r.Header.Set("Authorization", "Bearer operator")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	if fits {
		valid, faults := s.validator.ValidateHttpRequest(newRequest())
		require.True(s.t, valid, "%s %s: %v", method, path, faults)
	}
	recorder := httptest.NewRecorder()
	s.handler.ServeHTTP(recorder, newRequest())
	answer := recorder.Result()
	text, err := io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	answer.Body = io.NopCloser(bytes.NewReader(text))
	valid, faults := s.validator.ValidateHttpResponse(newRequest(), answer)
	require.True(s.t, valid, "%s %s: %d %s: %v", method, path, answer.StatusCode, text, faults)
	if fits {
		require.Less(s.t, answer.StatusCode, 300, "%s %s: %s", method, path, text)
		s.succeeded[method+" "+path] = true
	} else {
		require.GreaterOrEqual(s.t, answer.StatusCode, 400, "%s %s: %s", method, path, text)
	}
	var out map[string]any
	if len(text) > 0 {
		require.NoError(s.t, json.Unmarshal(text, &out))
	}
	return out
}

// Every operation of the document is called, and each answer is as it says.
func TestAnswersFitTheDocument(t *testing.T) {
	t.Parallel()
	key, err := outbox.NewSealingKey("test", []byte("0123456789abcdefghijklmnopqrstuv"))
	require.NoError(t, err)
	o, err := outbox.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "outbox.db"), outbox.WithSealingKeys(key),
		outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))), outbox.WithSchedule(outbox.SchedulePlatform, sender.Once))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	h, err := api.New(o, func(r *http.Request) (api.Access, error) {
		switch r.Header.Get("Authorization") {
		case "Bearer operator":
			return api.Access{Operator: true}, nil
		case "Bearer reader":
			return api.Access{App: "shop", ReadOnly: true}, nil
		}
		return api.Access{}, api.ErrUnauthenticated
	})
	require.NoError(t, err)
	v, doc := newValidator(t, closed(t))
	s := &session{t: t, handler: h, validator: v, succeeded: map[string]bool{}}
	status := http.StatusServiceUnavailable
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(target.Close)

	s.call("PUT", "/apps/shop", "")
	created := s.call("POST", "/apps/shop/endpoints", `{"url":"`+target.URL+`/hook","events":["deploy.*"],"header":{"X-Team":"a"},"metadata":{"a":"b"},
		"timeout_seconds":2.5,"rate_limit":100,"description":"checkout"}`, "Idempotency-Key", "k1")
	id := created["endpoint"].(map[string]any)["id"].(string)
	endpoint := "/apps/shop/endpoints/" + id
	for range 2 {
		_, err = o.App("shop").Publish(t.Context(), &payload.Event{
			Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_1", App: "shop", Environment: "production",
		})
		require.NoError(t, err)
	}
	delivery := s.call("POST", endpoint+"/test", "")["id"].(string)
	status = http.StatusOK
	s.call("POST", endpoint+"/test", "")
	for _, path := range []string{
		"/openapi.json", "/event-types", "/event-types/deploy.live", "/apps", "/stats", "/deliveries", "/apps/shop/stats", "/apps/shop/endpoints", endpoint,
		endpoint + "/url", endpoint + "/missed", endpoint + "/stats", "/apps/shop/deliveries", "/apps/shop/deliveries/" + delivery, "/apps/shop/replays",
		"/apps/shop/events",
	} {
		s.call("GET", path, "")
	}
	s.call("PATCH", endpoint, `{"description":"changed"}`, "If-Match", `"1"`)
	s.call("POST", endpoint+"/disable", `{"reason":"maintenance"}`)
	s.call("POST", endpoint+"/enable", `{"send_missed":true,"rate_per_second":5}`)
	s.call("POST", endpoint+"/missed", `{"since":"2026-01-01T00:00:00Z"}`)
	s.call("POST", endpoint+"/rotate", `{"grace_seconds":60}`)
	s.call("POST", "/apps/shop/deliveries/"+delivery+"/resend", "")
	replay := "/apps/shop/replays/" + s.call("POST", "/apps/shop/replays", `{"filter":{"states":["failed"]},"rate_per_second":5}`)["id"].(string)
	s.call("POST", "/apps/shop/replays/count", `{"filter":{"endpoint":"`+id+`"}}`)
	s.call("GET", replay, "")
	s.call("POST", replay+"/cancel", "")
	event := s.call("GET", "/apps/shop/events?limit=1&type=deploy.live,deploy.failed", "")["items"].([]any)[0].(map[string]any)["id"].(string)
	s.call("GET", "/apps/shop/deliveries?state=failed,canceled&limit=5&endpoint="+id, "")
	s.call("DELETE", "/apps/shop/events/"+event, "")
	s.wrong("GET", endpoint, "", "Authorization", "")
	s.wrong("POST", endpoint+"/test", "", "Authorization", "Bearer reader")
	s.wrong("GET", "/apps/shop/endpoints/ep_unknown", "")
	s.wrong("POST", "/apps/shop/endpoints", `{"url":"`+target.URL+`/hook"}`)
	s.wrong("POST", "/apps/shop/endpoints", `{"url":"ftp://example.com"}`)
	s.wrong("POST", "/apps/shop/endpoints", `{"url":`)
	s.wrong("POST", "/apps/shop/endpoints", `{}`, "Content-Type", "text/plain")
	s.wrong("PATCH", endpoint, `{}`, "If-Match", `"1"`)
	s.wrong("GET", "/apps/shop/deliveries?limit=0", "")
	s.wrong("POST", endpoint+"/disable", `{}`, "Origin", "null")
	s.call("DELETE", endpoint, "")

	model, err := doc.BuildV3Model()
	require.NoError(t, err)
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			require.True(t, s.called(strings.ToUpper(method), path), "%s %s was not called", method, path)
		}
	}
}

// called reports whether a request for the operation has succeeded.
func (s *session) called(method, path string) bool {
	want := strings.Split(path, "/")
	for done := range s.succeeded {
		m, p, _ := strings.Cut(done, " ")
		p, _, _ = strings.Cut(p, "?")
		got := strings.Split(p, "/")
		matches := m == method && len(got) == len(want)
		for i := 0; matches && i < len(got); i++ {
			matches = got[i] == want[i] || strings.HasPrefix(want[i], "{")
		}
		if matches {
			return true
		}
	}
	return false
}
