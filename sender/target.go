package sender

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/signer"
)

// maxURL is the longest URL in bytes. Servers commonly accept no more.
const maxURL = 8 << 10

// target is an endpoint that passed every check without the network, in the
// form that an attempt needs.
type target struct {
	*checkedURL
	signer     signer.Signer
	signed     bool // false with InsecureUnsigned only
	ours       bool // a signer of package signer
	credential bool // the signer sends a key instead of a signature
	header     []staticHeader
	timeout    time.Duration
	cert       ClientCertificate
}

// origin is the part of the URL that may be shown. It is empty without a URL.
func (t *target) origin() string {
	if t.checkedURL == nil {
		return ""
	}
	return t.shown
}

// resolve turns an endpoint into a target, or returns its first mistake.
func (s *Sender) resolve(t *target, ep *Endpoint) error {
	if err := s.made(); err != nil {
		return err
	}
	if faults := s.inspect(t, ep); len(faults) > 0 {
		return faults[0]
	}
	return nil
}

// inspect makes every check of ep that needs no network, and returns all
// mistakes.
func (s *Sender) inspect(t *target, ep *Endpoint) (faults []error) {
	t.signer, t.timeout, t.cert = ep.Signer, s.timeout, ep.ClientCertificate
	for _, fault := range [...]error{
		s.inspectURL(t, ep), inspectSigner(t, ep), inspectFormat(ep), inspectEvents(ep), inspectHeader(t, ep), inspectTimeout(t, ep),
		inspectCertificate(t, ep),
	} {
		if fault != nil {
			faults = append(faults, fault)
		}
	}
	return faults
}

func inspectSigner(t *target, ep *Endpoint) error {
	if !hasSigner(ep.Signer) {
		return endpointError(ErrUnsigned, "Signer", "is nil; receivers could not tell deliveries from forged ones "+
			"(InsecureUnsigned is for destinations whose URL is the credential)")
	}
	_, none := ep.Signer.(unsigned)
	t.signed = !none
	t.ours = isOwnSigner(ep.Signer)
	if c, ok := ep.Signer.(interface{ CarriesCredential() bool }); ok {
		if fault := contain.Inline(func() { t.credential = c.CarriesCredential() }); fault != nil {
			return endpointError(ErrRefused, "Signer", "%T: CarriesCredential panicked", ep.Signer)
		}
	}
	return nil
}

func inspectTimeout(t *target, ep *Endpoint) error {
	switch {
	case ep.Timeout < 0:
		return endpointError(ErrRefused, "Timeout", "%v is negative; 0 means the sender's own", ep.Timeout)
	case ep.Timeout > maxTimeout:
		return endpointError(ErrRefused, "Timeout", "%v is over the limit of %v", ep.Timeout, maxTimeout)
	case ep.Timeout > 0:
		t.timeout = ep.Timeout
	}
	return nil
}

func inspectCertificate(t *target, ep *Endpoint) error {
	if !ep.ClientCertificate.IsZero() && t.checkedURL != nil && t.plain {
		return endpointError(ErrRefused, "ClientCertificate", "the URL is http, and only https uses a certificate; use https or leave it out")
	}
	return nil
}

func inspectEvents(ep *Endpoint) error {
	for _, p := range ep.Events {
		if err := checkPattern(p); err != nil {
			return endpointError(ErrRefused, "Events", "%v", err)
		}
	}
	return nil
}

// origin is what may be shown of a URL.
func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// portOf returns the port of a URL that parseURL accepted.
func portOf(u *url.URL) uint16 {
	if text := u.Port(); text != "" {
		n, _ := strconv.ParseUint(text, 10, 16) // parseURL checked it
		return uint16(n)
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// parseURL applies the rules for URLs that do not depend on options. Its errors
// show only the scheme's name, because path, query and user information may be
// credentials. Errors of url.Parse would repeat them.
func parseURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("is empty")
	}
	if len(text) > maxURL {
		return nil, errors.New("is longer than 8192 bytes")
	}
	if strings.ContainsFunc(text, unicode.IsSpace) {
		// net/url would encode a blank. A blank is a mistake, such as two URLs
		// in one variable or a truncated URL.
		return nil, errors.New("is not a valid URL: it has white space in it (a blank is %20)")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("is not a valid URL")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("must be an absolute URL that begins with https://")
	case u.User != nil:
		return nil, errors.New("must not contain a user name or password; put credentials into Header")
	case u.Opaque != "" || u.Host == "":
		return nil, errors.New("has no host")
	case u.Fragment != "":
		return nil, errors.New("must not have a fragment (#…), which is never sent")
	}
	return u, normalizeHost(u)
}

// normalizeHost checks the host and rewrites u.Host so that each host has one
// spelling. It is in lower case, without trailing dot and empty port.
func normalizeHost(u *url.URL) error {
	host, port := u.Hostname(), u.Port()
	if port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("has a port that is not between 1 and 65535")
		}
		port = ":" + port
	}
	if strings.HasPrefix(u.Host, "[") {
		a, err := netip.ParseAddr(host)
		if err != nil || !a.Is6() {
			return errors.New("has a host that is not a valid IPv6 address")
		}
		if a.Zone() != "" {
			return errors.New("has an IPv6 address with a zone, which is never public")
		}
		u.Host = "[" + a.String() + "]" + port
		return nil
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if err := checkHostname(host); err != nil {
		return err
	}
	u.Host = host + port
	return nil
}

// checkHostname takes labels of letters, digits, hyphens and underscores, or a
// canonical IPv4 address.
//
// Two kinds of name are refused because software reads them differently.
// net/http maps a name that is not ASCII (127。0。0。1 becomes 127.0.0.1), but a
// resolver does not. The C library and browsers read a name that ends in a
// number (127.1, 0x7f.1, 2130706433) as an IPv4 address, but Go's resolver asks
// DNS.
func checkHostname(host string) error {
	if host == "" || len(host) > 253 {
		return errors.New("has no host, or one longer than 253 bytes")
	}
	for i := range len(host) {
		if c := host[i]; !isWordByte(c) && c != '-' && c != '.' {
			if c >= 0x80 {
				return errors.New("has a host that is not ASCII; write it in its xn-- form")
			}
			return errors.New("has a host with a character that no host name has")
		}
	}
	label := ""
	for rest, more := host, true; more; {
		if label, rest, more = strings.Cut(rest, "."); label == "" || len(label) > 63 {
			return errors.New("has a host with an empty label, or one longer than 63 bytes")
		}
	}
	if isNumber(label) {
		if a, err := netip.ParseAddr(host); err != nil || !a.Is4() {
			return errors.New("has a host that ends in a number but is not an IPv4 address in its usual form")
		}
	}
	return nil
}

// isNumber reports whether inet_aton would read the last label as a decimal,
// octal or hexadecimal number.
func isNumber(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// isWordByte reports whether c may occur in the words of an event type or in a
// host's labels, apart from hyphens.
func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_'
}
