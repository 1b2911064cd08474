package main

import (
	"net/http"
	"net/url"
	"strings"
)

// proxyOfEnvironment is the value of -proxy that asks the environment.
const proxyOfEnvironment = "env"

// givenProxy reads a -proxy that is a URL. Nothing is printed of it, since it
// may have a password.
func (o *options) givenProxy() (*url.URL, error) {
	if o.proxy == "" || o.proxy == proxyOfEnvironment {
		return nil, nil
	}
	u, err := url.Parse(o.proxy)
	if err != nil || !usableProxy(u) {
		return nil, usagef("%s: want env, or http:// or https:// with a host and a port and nothing behind them", o.source("proxy"))
	}
	if u.User != nil && !o.fromEnv["proxy"] {
		return nil, usagef("-proxy: other users of the machine can read a password there; set %s instead", twin("proxy"))
	}
	return u, nil
}

func usableProxy(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.Opaque == "" &&
		strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == ""
}

// chosenProxy is the proxy to send through, or nil.
func (o *options) chosenProxy(s surroundings) (*url.URL, error) {
	if o.proxy != proxyOfEnvironment {
		return o.givenProxy()
	}
	u, err := o.environmentsProxy(s)
	if err != nil || u != nil && !usableProxy(u) {
		return nil, usagef("-proxy env: HTTPS_PROXY or HTTP_PROXY: want http:// or https:// with a host and a port and nothing behind them")
	}
	return u, nil
}

// environmentsProxy is the proxy that the environment names for -url, or nil.
func (o *options) environmentsProxy(s surroundings) (*url.URL, error) {
	u, err := url.Parse(o.url)
	if err != nil {
		return nil, nil // the sender says what is wrong with it
	}
	return s.proxy(&http.Request{URL: u})
}

// ignoredProxy names the variable whose proxy is not used because -proxy is not
// given, or "".
func (o *options) ignoredProxy(s surroundings) string {
	if o.proxy != "" {
		return ""
	}
	if u, err := o.environmentsProxy(s); u == nil && err == nil {
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
