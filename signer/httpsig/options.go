package httpsig

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/deployhook/deployhook/signer"
)

const (
	minTolerance = time.Second
	maxTolerance = 24 * time.Hour
	maxKeys      = 16
	// maxPairs: the current Ed25519 key and the next.
	maxPairs = 2
)

// Option configures [New].
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	keys         []Key
	tolerance    time.Duration
	principal    string
	hasPrincipal bool
	external     string
	hasExternal  bool
}

// WithKey adds a further key, for rotation. Sign signs with every key that is
// active and can sign, each under a different label. Verify accepts a signature
// by any active key. Default: only the key that New takes. A scheme has at most
// 16 keys, and at most 2 of them are Ed25519 keys, the current and the next.
func WithKey(key Key) Option {
	return optionFunc(func(c *config) { c.keys = append(c.keys, key) })
}

// WithTolerance sets how far the created parameter may lie from now, on either
// side, inclusive. Default: 5 minutes ([signer.DefaultTolerance]). It takes 1
// second to 24 hours. Zero is an error.
func WithTolerance(d time.Duration) Option {
	return optionFunc(func(c *config) { c.tolerance = d })
}

// WithPrincipal names the tenant or organization that the keys belong to.
// [signer.Verified].Principal returns it. Default: no principal. The
// empty string is an error.
func WithPrincipal(name string) Option {
	return optionFunc(func(c *config) { c.principal, c.hasPrincipal = name, true })
}

// WithExternalURL states the address under which senders reach this server. It
// consists of a scheme, a host, a port other than the default one, and the path
// prefix that a proxy removes. "https://hooks.example.com" turns a request for
// http://10.0.0.7:8080/deploy?env=prod into one for
// https://hooks.example.com/deploy?env=prod. Path and query stay those of the
// request line, even under [net/http.StripPrefix]. The request's Host is then
// ignored. The option affects verification only.
//
// Default: none. "Behind a proxy" in the package documentation says which
// address is used then, and why X-Forwarded headers are no substitute. A URL
// that is not absolute, not http or https, or has a user, a query or a fragment
// is an error.
func WithExternalURL(base string) Option {
	return optionFunc(func(c *config) { c.external, c.hasExternal = base, true })
}

// newConfig applies opts and makes the checks that need no keys.
func newConfig(key Key, opts []Option) (*config, error) {
	c := &config{keys: []Key{key}, tolerance: signer.DefaultTolerance}
	for _, o := range opts {
		if o == nil {
			return nil, configError("a nil Option was given; leave it out")
		}
		o.apply(c)
	}
	if c.tolerance < minTolerance || c.tolerance > maxTolerance {
		return nil, configError("WithTolerance(%v): want %v to %v", c.tolerance, minTolerance, maxTolerance)
	}
	if c.hasPrincipal && c.principal == "" {
		return nil, configError("WithPrincipal: the name is empty; leave the option out for no principal")
	}
	return c, nil
}

// externalBase checks the external URL. The error does not repeat it, because a
// URL can contain a password.
func (c *config) externalBase() (*target, error) {
	if !c.hasExternal {
		return nil, nil
	}
	u, err := url.Parse(c.external)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "" {
		return nil, configError("WithExternalURL: want an absolute http or https URL, such as %q", "https://hooks.example.com")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(c.external, "#") {
		return nil, configError("WithExternalURL: want scheme, host and at most a path prefix; no user, query or fragment")
	}
	base := &target{scheme: u.Scheme, authority: normalHost(u.Scheme, u.Host), path: strings.TrimRight(u.EscapedPath(), "/")}
	if !visible(base.authority) || !visible(base.path) {
		return nil, configError("WithExternalURL: want ASCII; write an international name as xn--…")
	}
	return base, nil
}

func configError(format string, args ...any) error {
	return fmt.Errorf("%w: httpsig: %s", signer.ErrConfig, fmt.Sprintf(format, args...))
}
