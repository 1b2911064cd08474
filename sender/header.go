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

// inspectHeader checks Endpoint.Header. Its errors name a header and never show a value.
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

// reserved reports whether an endpoint may not set the header with this canonical name.
//
// Idempotency-Key is here because net/http takes a request that has it to be safe to repeat, and would send the
// POST a second time, unseen, when a reused connection dies.
func reserved(name string) bool {
	switch name {
	case "Host", "User-Agent", "Accept-Encoding", "Idempotency-Key", "X-Idempotency-Key",
		"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Http2-Settings",
		"Webhook-Id", "Webhook-Timestamp", "X-Webhook-Id", "X-Webhook-Timestamp":
		return true
	}
	return strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "Proxy-") ||
		strings.Contains(strings.ToLower(name), "signature")
}

// isPublic reports whether the value of a header that the sender or a signer set may be shown in a record. What is
// not known to be harmless is not shown.
func isPublic(name string) bool {
	switch name {
	case "Content-Type", "Content-Digest", "User-Agent", "Signature", "Signature-Input":
		return true
	}
	for _, suffix := range [...]string{"-Signature", "-Signature-256", "-Timestamp", "-Id"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// redactRequest returns what was sent in a form that is fit for a record, and hidden with the values that are not
// appended. It never changes sent, and returns a copy if something is to be hidden or the transport may still be reading
// (inUse).
//
// Where the signer carries a credential instead of signing, whatever it set may be one.
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

// redactResponse takes out of an answer what would turn its record into a credential: cookies, and the values that were
// redacted from the request, which some endpoints echo.
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

// origins keeps of each URL its scheme and host. Where an endpoint points is in most cases its own path, written in another way.
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

// worthStealing reduces the values of headers to credentials: the part after a scheme ("Bearer …"), which is a plain
// word, or the whole. Values of less than 8 bytes are no credentials, and looking for them would garble the record.
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

// validValue reports whether v can be a header's value: no control character but the tab (RFC 9110 section 5.5).
func validValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
