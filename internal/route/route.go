// Package route finds what a path of the management API or of a console
// belongs to. It cleans no path and redirects nowhere, which http.ServeMux
// would do. Any path that is not in the table is unknown.
package route

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Table has a value for each method of each path. It is safe for concurrent
// use.
type Table[T any] struct{ paths []path[T] }

type path[T any] struct {
	segments []string
	methods  map[string]T
}

// New returns a table of values. The function at tells the method and the path
// of a value. A segment in braces is a parameter. Paths with fewer parameters
// come first.
func New[T any](all []T, at func(T) (method, path string)) *Table[T] {
	t := &Table[T]{}
	byPath := map[string]int{}
	for _, value := range all {
		method, text := at(value)
		i, known := byPath[text]
		if !known {
			i = len(t.paths)
			byPath[text] = i
			t.paths = append(t.paths, path[T]{strings.Split(text[1:], "/"), map[string]T{}})
		}
		t.paths[i].methods[method] = value
	}
	slices.SortStableFunc(t.paths, func(a, b path[T]) int {
		return strings.Count(strings.Join(a.segments, "/"), "{") - strings.Count(strings.Join(b.segments, "/"), "{")
	})
	return t
}

// Find returns the values of a request's path by their methods, and the values
// of its parameters. The methods are nil if the path is unknown.
func (t *Table[T]) Find(r *http.Request) (methods map[string]T, params map[string]string) {
	text, ok := strings.CutPrefix(r.URL.EscapedPath(), "/")
	if !ok && text != "" { // http.StripPrefix leaves nothing of the root
		return nil, nil
	}
	segments := strings.Split(text, "/")
	for _, p := range t.paths {
		if params, ok := p.match(segments); ok {
			return p.methods, params
		}
	}
	return nil, nil
}

// Method returns the method whose value serves a request. HEAD is served like
// GET.
func Method(r *http.Request) string {
	if r.Method == http.MethodHead {
		return http.MethodGet
	}
	return r.Method
}

// match returns the values of the parameters if the path is p. It splits the
// path as it was sent, so that an encoded slash is part of a value. Fixed words
// are never encoded.
func (p *path[T]) match(segments []string) (params map[string]string, ok bool) {
	if len(segments) != len(p.segments) {
		return nil, false
	}
	params = map[string]string{}
	for i, want := range p.segments {
		got, err := url.PathUnescape(segments[i])
		switch {
		case err != nil:
			return nil, false
		case strings.HasPrefix(want, "{"):
			if got == "" {
				return nil, false
			}
			params[strings.Trim(want, "{}")] = got
		case segments[i] != want:
			return nil, false
		}
	}
	return params, true
}
