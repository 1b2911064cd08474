package route_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/route"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

type entry struct{ method, path string }

func TestFind(t *testing.T) {
	t.Parallel()
	table := route.New([]entry{{"GET", "/a/{x}"}, {"POST", "/a/{x}"}, {"GET", "/a/new"}, {"GET", "/{x}/{y}/z"}, {"GET", "/"}},
		func(e entry) (method, path string) { return e.method, e.path })
	for path, want := range map[string]struct {
		path   string
		params map[string]string
	}{
		"/a/b":           {"/a/{x}", map[string]string{"x": "b"}},
		"/a/new":         {"/a/new", map[string]string{}}, // fewer parameters come first
		"/a/b%2Fc":       {"/a/{x}", map[string]string{"x": "b/c"}},
		"/a/%2E%2E":      {"/a/{x}", map[string]string{"x": ".."}},
		"/b/c/z":         {"/{x}/{y}/z", map[string]string{"x": "b", "y": "c"}},
		"/":              {"/", map[string]string{}},
		"/a/":            {}, // a parameter is not empty
		"/a":             {},
		"/a/b/":          {},
		"//a/b":          {},
		"/%61/b":         {}, // fixed words are never encoded
		"/b/../a/b":      {},
		"/b/c/%7A":       {},
		"/a/b/c/d/e/f/g": {},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://h.example"+path, http.NoBody)
		methods, params := table.Find(r)
		require.Equal(t, want.params, params, path)
		require.Equal(t, want.path, methods[route.Method(r)].path, path)
	}
	r := httptest.NewRequest(http.MethodHead, "http://h.example/a/b", http.NoBody)
	require.Equal(t, http.MethodGet, route.Method(r))
	methods, _ := table.Find(r)
	require.Len(t, methods, 2)
}

func TestFind_WithoutTheFirstSlash(t *testing.T) {
	t.Parallel()
	table := route.New([]entry{{"GET", "/"}, {"GET", "/a"}}, func(e entry) (method, path string) { return e.method, e.path })
	r := httptest.NewRequest(http.MethodGet, "http://h.example/", http.NoBody)
	r.URL.Path = ""
	methods, _ := table.Find(r)
	require.Equal(t, "/", methods["GET"].path, "what http.StripPrefix leaves of the root")
	r.URL.Path = "a"
	methods, _ = table.Find(r)
	require.Nil(t, methods)
}
