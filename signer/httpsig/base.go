package httpsig

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/deployhook/deployhook/signer"
)

// The components that a signature must cover, in the order in which Sign writes
// them. RFC 9421 §2.1 and §2.2.
const (
	methodComponent = "@method"
	targetComponent = "@target-uri"
	typeComponent   = "content-type"
	digestComponent = "content-digest"
	idComponent     = "webhook-id"
)

// required is an array, so that no code can change it during a verification.
func required() [5]string {
	return [...]string{methodComponent, targetComponent, typeComponent, digestComponent, idComponent}
}

// target is the URL of a request as its sender saw it.
type target struct {
	scheme    string
	authority string
	path      string // escaped, begins with a slash
	query     string // with its question mark, or empty
}

func (t target) uri() string { return t.scheme + "://" + t.authority + t.path + t.query }

// targetOf returns the target of a request. An outgoing request has it in its
// URL. A received request has it in its request line, because handlers such as
// http.StripPrefix change the URL and parsing loses its spelling. external is
// nil, or replaces the parts that a proxy hides.
func targetOf(r *http.Request, external *target) (target, error) {
	if r.URL == nil {
		return target{}, fmt.Errorf("%w: the request has no URL", signer.ErrMalformed)
	}
	line := r.RequestURI
	outgoing := line == ""
	if outgoing {
		line = r.URL.RequestURI()
	}
	if _, rest, ok := strings.Cut(line, "://"); ok && line[0] != '/' { // RFC 9112 §3.2.2, absolute form
		end := strings.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		line = rest[end:]
		if !strings.HasPrefix(line, "/") {
			line = "/" + line
		}
	}
	if line == "" || line[0] != '/' {
		return target{}, fmt.Errorf("%w: the request line has no path", signer.ErrMalformed)
	}
	t := target{scheme: "http", path: line}
	if query := strings.IndexByte(line, '?'); query >= 0 {
		t.path, t.query = line[:query], line[query:]
	}
	switch {
	case external != nil:
		t.scheme, t.authority, t.path = external.scheme, external.authority, external.path+t.path
		return t, nil
	case outgoing:
		t.scheme = strings.ToLower(r.URL.Scheme)
	case r.TLS != nil:
		t.scheme = "https"
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	if t.scheme != "http" && t.scheme != "https" || host == "" {
		return target{}, fmt.Errorf("%w: the request has no http or https URL with a host", signer.ErrMalformed)
	}
	t.authority = normalHost(t.scheme, host)
	return t, nil
}

// normalHost writes a host in lower case and without the scheme's default port,
// by RFC 9421 §2.2.3. HTTP software between the two sides does the same.
func normalHost(scheme, host string) string {
	host = strings.ToLower(host)
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// message gives the values of the components of a request.
type message struct {
	request *http.Request
	target  target
}

// component returns the value of a component, RFC 9421 §2. Derived components
// without a use for webhooks are refused, and so are header fields with more
// than one line, whose combined value another reader could see differently.
func (m message) component(name string) (string, error) {
	switch name {
	case methodComponent:
		if m.request.Method == "" {
			return http.MethodGet, nil // as in package net/http, for outgoing requests
		}
		return m.request.Method, nil
	case targetComponent:
		return m.target.uri(), nil
	case "@authority":
		return m.target.authority, nil
	case "@scheme":
		return m.target.scheme, nil
	case "@path":
		return m.target.path, nil
	case "@query":
		if m.target.query == "" {
			return "?", nil
		}
		return m.target.query, nil
	}
	if strings.HasPrefix(name, "@") || name != strings.ToLower(name) {
		return "", fmt.Errorf("%w: component %.64q is not supported", signer.ErrMalformed, name)
	}
	value, err := single(m.request.Header, http.CanonicalHeaderKey(name))
	if err != nil {
		return "", err
	}
	return strings.Trim(value, " \t"), nil // RFC 9421 §2.1 step 2
}

// appendBase appends the signature base, RFC 9421 §2.5. params is the
// serialized inner list with its parameters.
func (m message) appendBase(out []byte, components []string, params string) ([]byte, error) {
	for _, name := range components {
		value, err := m.component(name)
		if err != nil {
			return nil, err
		}
		if !printable(value) {
			// A line end in a value could pass for the next
			// component.
			return nil, fmt.Errorf("%w: component %.64q has a byte that is not printable ASCII", signer.ErrMalformed, name)
		}
		out = append(append(append(out, '"'), name...), `": `...)
		out = append(append(out, value...), '\n')
		if len(out) > maxBase {
			return nil, fmt.Errorf("%w: what the signature covers has more than %d bytes", signer.ErrMalformed, maxBase)
		}
	}
	return append(append(out, `"@signature-params": `...), params...), nil
}

// single returns the value of a header that must occur exactly once. name must
// be in canonical form.
func single(h http.Header, name string) (string, error) {
	values := h[name]
	switch {
	case len(values) == 0:
		return "", fmt.Errorf("%w: %.64s", signer.ErrMissingHeader, name)
	case len(values) > 1:
		return "", fmt.Errorf("%w: %.64s occurs %d times; want exactly one", signer.ErrMalformed, name, len(values))
	}
	return values[0], nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func visible(s string) bool { return printable(s) && !strings.Contains(s, " ") }
