package sender

import (
	"net/http"
	"net/url"
)

// WithProxyFromEnvironment sends through the proxies that HTTPS_PROXY,
// HTTP_PROXY and NO_PROXY name. [http.ProxyFromEnvironment] reads the variables
// once per process, and never uses a proxy for localhost. In everything else
// the option is like [WithProxy], so the guard has checked the addresses that a
// proxy gets. Default: off, and the environment is not read. A value that
// WithProxy would refuse is an error, and so are both options together.
func WithProxyFromEnvironment() Option {
	return optionFunc(func(c *config) {
		c.environment = make(map[string]*proxy)
		for _, scheme := range []string{"http", "https"} {
			u, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: scheme, Host: "deployhook.invalid"}})
			if err != nil {
				// Not the error itself, which may quote a password.
				c.mistake("WithProxyFromEnvironment", "the proxy of the environment for %s is not a valid URL", scheme)
				continue
			}
			if u == nil {
				continue
			}
			p, err := newProxy(u)
			if err != nil {
				c.mistake("WithProxyFromEnvironment", "the proxy of the environment for %s: %v", scheme, err)
			}
			c.environment[scheme] = p
		}
	})
}

// proxyFor returns the proxy for an address, or nil. NO_PROXY decides by host.
func (d *dialer) proxyFor(address string) *proxy {
	if d.proxy != nil || d.environment == nil {
		return d.proxy
	}
	scheme := "https"
	if d.plain {
		scheme = "http"
	}
	u, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: scheme, Host: address}})
	if err != nil || u == nil {
		return nil
	}
	return d.environment[scheme]
}
