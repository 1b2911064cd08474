package sender

import (
	"net/http"
	"net/url"
	"strings"
)

func isRedirect(status int) bool { return status >= 300 && status <= 399 }

// redirectTarget says in words where an answer points. It names the scheme and
// the host and compares the path with that of the request, because the path may
// be a credential. The endpoint chooses the host, so that one with a character
// that no host has, or with a secret of the request in it, is not shown.
func redirectTarget(from *url.URL, header http.Header, known *secrets) string {
	location := header.Get("Location")
	if location == "" {
		return "no URL"
	}
	to, err := from.Parse(location)
	if err != nil || to.Scheme != "http" && to.Scheme != "https" || to.User != nil ||
		known.in(to.Host) || normalizeHost(to) != nil {
		return "a URL that can't be shown"
	}
	elsewhere := origin(to) != origin(from)
	switch {
	case elsewhere && to.RequestURI() == from.RequestURI():
		return "the same path at " + origin(to)
	case elsewhere:
		return origin(to)
	case to.RequestURI() == from.RequestURI():
		return "itself"
	case to.Path == from.Path+"/":
		return "the same URL with a slash at its end"
	case to.Path == strings.TrimSuffix(from.Path, "/"):
		return "the same URL without the slash at its end"
	}
	return "another path of the same host"
}
