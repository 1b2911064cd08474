package main

import (
	"net/http"
	"net/url"
	"strings"
)

// proxyOfEnvironment is the value of -proxy that selects the environment's
// proxy.
const proxyOfEnvironment = "env"

// givenProxy parses -proxy if it is a URL. Errors do not show it, because it
// may contain a password.
func (o *options) givenProxy() (*url.URL, error) {
	if o.proxy == "" || o.proxy == proxyOfEnvironment {
		return nil, nil
	}
	u, err := url.Parse(o.proxy)
	if err != nil || !usableProxy(u) {
		return nil, usagef("%s: want env, or http:// or https:// with only host and port", o.source("proxy"))
	}
	if u.User != nil && !o.fromEnv["proxy"] {
		return nil, usagef("-proxy: other users of the machine can read the password in a flag; set %s instead", variableOf("proxy"))
	}
	return u, nil
}

func usableProxy(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.Opaque == "" &&
		strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == ""
}

// chosenProxy returns the proxy to use, or nil.
func (o *options) chosenProxy(s system) (*url.URL, error) {
	if o.proxy != proxyOfEnvironment {
		return o.givenProxy()
	}
	u, err := o.environmentProxy(s)
	if err != nil || u != nil && !usableProxy(u) {
		return nil, usagef("-proxy env: HTTPS_PROXY or HTTP_PROXY: want http:// or https:// with only host and port")
	}
	return u, nil
}

// environmentProxy returns the environment's proxy for -url, or nil.
func (o *options) environmentProxy(s system) (*url.URL, error) {
	u, err := url.Parse(o.url)
	if err != nil {
		return nil, nil // the sender reports what is wrong with it
	}
	return s.proxy(&http.Request{URL: u})
}

// ignoredProxy returns the variable of a proxy that is not used because -proxy
// is missing, or "".
func (o *options) ignoredProxy(s system) string {
	if o.proxy != "" {
		return ""
	}
	if u, err := o.environmentProxy(s); u == nil && err == nil {
		return ""
	}
	names := []string{"HTTPS_PROXY", "https_proxy"}
	if strings.HasPrefix(o.url, "http:") {
		names = []string{"HTTP_PROXY", "http_proxy"}
	}
	for _, name := range names {
		if s.getenv(name) != "" {
			return name
		}
	}
	return ""
}
