package sender

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/deployhook/deployhook/internal/redact"
)

const (
	maxHeaderValues = 32
	maxHeaderBytes  = 8 << 10
	redacted        = "[redacted]"
)

// staticHeader is one of Endpoint.Header, under its canonical name.
type staticHeader struct {
	name   string
	values []string
}

// inspectHeader checks Endpoint.Header. Its errors name a header and never show
// a value.
func inspectHeader(t *target, ep *Endpoint) error {
	header := ep.Header.Reveal()
	if len(header) == 0 {
		return nil
	}
	count, size := 0, 0
	t.header = make([]staticHeader, 0, len(header))
	for key, values := range header {
		name := http.CanonicalHeaderKey(key)
		if !validName(key) {
			return endpointError(ErrRefused, "Header", "a name has a character that no header's name has")
		}
		if reserved(name) {
			return endpointError(ErrRefused, "Header", "%s is set by the sender or belongs to the connection; leave it out", name)
		}
		if slices.ContainsFunc(t.header, func(h staticHeader) bool { return h.name == name }) {
			return endpointError(ErrRefused, "Header", "%s occurs in two spellings", name)
		}
		for _, v := range values {
			if !validValue(v) {
				return endpointError(ErrRefused, "Header", "the value of %s has a character that no header has (a line end?)", name)
			}
			count, size = count+1, size+len(name)+len(v)
		}
		t.header = append(t.header, staticHeader{name, values})
	}
	if count > maxHeaderValues || size > maxHeaderBytes {
		return endpointError(ErrRefused, "Header", "has %d values of %d bytes; the limits are %d and %d",
			count, size, maxHeaderValues, maxHeaderBytes)
	}
	return nil
}

// reserved reports whether an endpoint may not set the header with this
// canonical name.
//
// net/http takes a request with Idempotency-Key to be safe to repeat. It would
// send the POST a second time when a reused connection dies, and no record
// would show it.
func reserved(name string) bool {
	switch name {
	case "Host", "User-Agent", "Accept-Encoding", "Idempotency-Key", "X-Idempotency-Key",
		"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Http2-Settings",
		"Webhook-Id", "Webhook-Timestamp", "X-Webhook-Id", "X-Webhook-Timestamp":
		return true
	}
	return strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "Proxy-") ||
		strings.Contains(name, "Signature") || strings.Contains(name, "signature")
}

// isPublic reports whether a record may show the value of a header that the
// sender or a signer set. Unknown headers are not shown.
func isPublic(name string) bool {
	switch name {
	case "Content-Type", "Content-Digest", "User-Agent", "Signature", "Signature-Input", "Traceparent":
		return true
	}
	for _, suffix := range [...]string{"-Signature", "-Signature-256", "-Timestamp", "-Id"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// redactRequest returns the sent header for a record, and appends the values
// that it removed to hidden. It never changes sent. It returns a copy if it
// removes something, or if the transport may still be reading (inUse).
//
// If the signer sends a credential instead of a signature, any header that it
// set may hold the credential.
func redactRequest(hidden []string, sent http.Header, t *target, inUse bool) (http.Header, []string) {
	static := t.header
	shown, copied := sent, false
	if inUse {
		shown, copied = maps.Clone(sent), true
	}
	for name, values := range sent {
		if isPublic(name) && (!t.credential || name == "Content-Type" || name == "User-Agent") && !slices.ContainsFunc(static, func(h staticHeader) bool { return h.name == name }) {
			continue
		}
		if !copied {
			shown, copied = maps.Clone(sent), true
		}
		hidden = append(hidden, values...)
		shown[name] = []string{redacted}
	}
	return shown, hidden
}

// secrets is what may not appear in the record of an attempt.
type secrets struct {
	url  *redact.URL
	room *redact.Room
	sent []string // values of headers
}

func (k *secrets) in(text string) bool { return k.url.In(k.room, text, k.sent...) }

// redactResponse removes credentials from the record of an answer. These are
// cookies and the redacted values of the request, which some endpoints echo.
func redactResponse(a *Attempt, known *secrets) {
	for name, values := range a.ResponseHeader {
		switch {
		case known.in(name):
			delete(a.ResponseHeader, name)
		case name == "Location" || name == "Content-Location" || name == "Refresh":
			a.ResponseHeader[name] = origins(values, known)
		case name == "Set-Cookie" || slices.ContainsFunc(values, known.in):
			a.ResponseHeader[name] = []string{redacted}
		}
	}
	known.url.Hide(known.room, a.Body, a.Truncated, known.sent...)
}

// origins keeps the scheme and host of each URL. An endpoint mostly redirects
// to another spelling of its own path, which may be a credential.
func origins(values []string, known *secrets) []string {
	shown := make([]string, len(values))
	for i, value := range values {
		shown[i] = redacted
		if u, err := url.Parse(value); err == nil && u.Host != "" && u.User == nil && !known.in(u.Host) {
			shown[i] = u.Scheme + "://" + u.Host + "/" + redacted
		}
	}
	return shown
}

// worthStealing reduces the values of headers to credentials. A credential is
// the part after a scheme ("Bearer …"), or the whole value. Values of less than
// 8 bytes do not count, because replacing them would garble the record.
func worthStealing(values []string) []string {
	worth := values[:0]
	for _, v := range values {
		if scheme, after, ok := strings.Cut(v, " "); ok && len(after) >= 8 && !strings.ContainsAny(scheme, "=;,:") {
			v = after
		}
		if len(v) >= 8 {
			worth = append(worth, v)
		}
	}
	return worth
}

// validName reports whether name is a token (RFC 9110 section 5.6.2).
func validName(name string) bool {
	if name == "" {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0:
			return false
		}
	}
	return true
}

// validValue reports whether v can be a header's value. The only control
// character in it may be the tab (RFC 9110 section 5.5).
func validValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
