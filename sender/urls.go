package sender

import (
	"hash/maphash"
	"net/netip"
	"net/url"
	"sync/atomic"

	"github.com/deployhook/deployhook/internal/redact"
)

// checkedURL is an endpoint's URL that parseURL accepted.
type checkedURL struct {
	text   string // as the endpoint has it
	url    url.URL
	shown  string      // scheme and host
	plain  bool        // http
	hidden *redact.URL // what no record may show: all but scheme and host may be a credential
}

// urls caches the latest URLs that passed inspectURL. Most deliveries go to a
// few URLs, and checking a URL costs as much as signing a message. The result
// depends only on the text and the sender's options, so an entry never becomes
// stale. URLs that share a slot replace each other.
type urls struct {
	seed  maphash.Seed
	slots [256]atomic.Pointer[checkedURL]
}

// slot returns the place for the entry of text. It may have another entry.
func (u *urls) slot(text string) *atomic.Pointer[checkedURL] {
	return &u.slots[maphash.String(u.seed, text)%uint64(len(u.slots))]
}

// inspectURL applies the rules for URLs. If the host is an address, it also
// asks the guard that decides about connections, so that both give the same
// answer.
func (s *Sender) inspectURL(t *target, ep *Endpoint) error {
	text := ep.URL.Reveal()
	slot := s.urls.slot(text)
	if known := slot.Load(); known != nil && known.text == text {
		t.checkedURL = known
		return nil
	}
	if text == "" {
		return endpointError(ErrRefused, "URL", "is empty; set it with NewURL")
	}
	u, err := parseURL(text)
	if err != nil {
		return endpointError(ErrRefused, "URL", "%v", err)
	}
	t.checkedURL = &checkedURL{text: text, url: *u, shown: origin(u), plain: u.Scheme == "http", hidden: redact.NewURL(u)}
	if err := s.checkURL(u, t.plain); err != nil {
		return err
	}
	slot.Store(t.checkedURL)
	return nil
}

// checkURL applies the rules that depend on the sender's options.
func (s *Sender) checkURL(u *url.URL, plain bool) error {
	if plain && !s.guard.plainPossible() {
		return endpointError(ErrRefused, "URL",
			"%s is not https; AllowNetworks opens named networks for http, InsecureHTTP all", origin(u)).as("url_not_https")
	}
	port := portOf(u)
	if err := s.guard.checkPort(port); err != nil {
		return endpointError(err.kind, "URL", "%s: %s", origin(u), err.reason).as(err.code)
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := s.guard.check(netip.AddrPortFrom(a, port), plain); err != nil {
			return endpointError(err.kind, "URL", "%s: %s", origin(u), err.reason).as(err.code)
		}
	}
	return nil
}
