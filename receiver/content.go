package receiver

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

const (
	jsonType        = "application/json"
	cloudEventsType = "application/cloudevents+json"
	anySuffixType   = "application/*+json"
)

// errContent is wrapped by every refusal because of a content header.
var errContent = errors.New("receiver: content refused")

// content lists the media types that a handler takes besides application/json.
type content struct {
	extra       []string
	cloudEvents bool // the handler may decode CloudEvents
}

// check requires exactly one JSON Content-Type and no Content-Encoding.
//
// An encoded body is not the bytes that were signed, and decoding it would mean
// work for an unauthenticated sender. Parameters such as charset are ignored.
// JSON is UTF-8 regardless of them (RFC 8259, sections 8.1 and 11), and
// decoding checks the bytes.
func (c content) check(h http.Header) error {
	for _, encoding := range h["Content-Encoding"] {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			return fmt.Errorf("%w: Content-Encoding is %s; the sender must send the body as it signed it", errContent, shown(encoding))
		}
	}
	values := h["Content-Type"]
	if len(values) == 1 && values[0] == jsonType {
		return nil
	}
	switch len(values) {
	case 0:
		return fmt.Errorf("%w: there is no Content-Type; the sender must send application/json", errContent)
	case 1:
	default:
		return fmt.Errorf("%w: there are %d Content-Type headers", errContent, len(values))
	}
	media, _, _ := strings.Cut(values[0], ";")
	media = strings.ToLower(strings.Trim(media, " \t"))
	if c.takes(media) {
		return nil
	}
	return fmt.Errorf("%w: Content-Type is %s; %s", errContent, shown(media), hint(media))
}

func (c content) takes(media string) bool {
	if media == jsonType || c.cloudEvents && media == cloudEventsType {
		return true
	}
	for _, extra := range c.extra {
		if extra == anySuffixType && suffixForm.MatchString(media) || extra != anySuffixType && extra == media {
			return true
		}
	}
	return false
}

// hint says how to fix a media type that was refused.
func hint(media string) string {
	switch {
	case media == "application/x-www-form-urlencoded" || media == "multipart/form-data":
		return "this is a form; choose application/json in the sender's settings"
	case suffixForm.MatchString(media):
		return "allow it with WithMediaTypes"
	}
	return "the sender must send application/json"
}

var (
	suffixForm = regexp.MustCompile(`^application/[a-z0-9][a-z0-9!#$&^_.-]*\+json$`)
	tokens     = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~/, -]{1,64}$")
)

// shown formats a header value for the operator's log. It describes long or
// unusual values instead of repeating them, because the sender is not
// authenticated yet.
func shown(value string) string {
	switch {
	case value == "":
		return "empty"
	case tokens.MatchString(value):
		return `"` + value + `"`
	}
	return fmt.Sprintf("a value of %d bytes that is not a media type or encoding", len(value))
}

// WithMediaTypes also accepts bodies of the given media types. Default:
// application/json only.
//
//	type                                 accepts
//	application/vnd.acme.deploy+json     that type; any lower-case type ending in +json
//	application/*+json                   all types that end in +json
//	anything else                        New returns an error
//
// [Receiver.Records] and [Receiver.Wrap] always accept
// application/cloudevents+json too, because their handlers may decode CDEvents.
// Parameters such as charset are ignored.
func WithMediaTypes(types ...string) Option {
	return optionFunc(func(c *config) { c.content.extra = append(c.content.extra, types...) })
}

func (c content) validate() error {
	var problems []error
	for _, media := range c.extra {
		if media != anySuffixType && !suffixForm.MatchString(media) {
			problems = append(problems, configError("WithMediaTypes(%.64q): want a lower-case type that ends in +json, "+
				"such as application/vnd.acme.deploy+json, or application/*+json", media))
		}
	}
	return errors.Join(problems...)
}
