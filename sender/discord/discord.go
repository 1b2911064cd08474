package discord

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/internal/chat"
)

// Discord's limits in characters, from
// https://discord.com/developers/docs/resources/message#embed-object-embed-limits.
const (
	maxTitle    = 256
	maxName     = 256
	maxValue    = 1024
	maxFields   = 25
	maxFooter   = 2048
	maxTotal    = 6000
	maxURL      = 2048
	contentType = "application/json"
)

// ErrConfig is wrapped by every error of [New]. The text names the invalid
// option.
var ErrConfig = errors.New("discord: invalid configuration")

// Format turns events into messages with one embed. It is immutable and safe
// for concurrent use.
type Format struct {
	look chat.Look
}

var _ sender.Format = (*Format)(nil)

// Option configures [New].
type Option interface {
	apply(*config)
}

type config struct {
	Format
	mistakes []error
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

func (c *config) note(option string, err error) {
	if err != nil {
		c.mistakes = append(c.mistakes, fmt.Errorf("%w: %s: %w", ErrConfig, option, err))
	}
}

// WithMetadata shows these members of an event's metadata if the event has
// them. Default: none. At most 5. Naming none is an error. Repeated options add
// up.
func WithMetadata(names ...string) Option {
	return optionFunc(func(c *config) { c.note("WithMetadata", c.look.AddMetadata(names)) })
}

// WithColor sets the colour of the bar next to events of a type, in the form
// "#rrggbb". Default:
//
//	#36a64f (green)    deploy.live
//	#ff0000 (red)      deploy.failed, and every step whose status is failure
//	#daa038 (amber)    deploy.rolled_back
//	#3498db (blue)     all others
func WithColor(t payload.Type, color string) Option {
	return optionFunc(func(c *config) { c.note("WithColor", c.look.SetColor(t, color)) })
}

// New returns a Format. It reports all mistakes in the options at once.
func New(opts ...Option) (*Format, error) {
	var c config
	for _, o := range opts {
		if o == nil {
			c.note("New", errors.New("a nil Option was given; leave it out"))
			continue
		}
		o.apply(&c)
	}
	if err := errors.Join(c.mistakes...); err != nil {
		return nil, err
	}
	return &c.Format, nil
}

// The parts of a message, from
// https://discord.com/developers/docs/resources/webhook#execute-webhook.
type (
	message struct {
		Embeds   []embed  `json:"embeds"`
		Mentions mentions `json:"allowed_mentions"`
	}

	// mentions says what a message may ping. An empty list means nothing, but a
	// missing list means anything. See
	// https://discord.com/developers/docs/resources/message#allowed-mentions-object.
	mentions struct {
		Parse []string `json:"parse"`
	}

	embed struct {
		Title     string  `json:"title"`
		URL       string  `json:"url,omitempty"`
		Color     int     `json:"color"`
		Fields    []field `json:"fields,omitempty"`
		Footer    *footer `json:"footer,omitempty"`
		Timestamp string  `json:"timestamp"`
	}

	field struct {
		Name   string `json:"name"`
		Value  string `json:"value"`
		Inline bool   `json:"inline"`
	}

	footer struct {
		Text string `json:"text"`
	}
)

// Encode returns the message as JSON. There is one for every event.
func (f *Format) Encode(_ context.Context, e *payload.Event) (string, []byte, error) {
	em := embed{
		Title:     chat.Cut(chat.Title(e), maxTitle, escape),
		URL:       link(e.URL),
		Color:     f.look.Color(e),
		Footer:    &footer{Text: chat.Cut(chat.Line(footerText(e)), maxFooter, chat.Plain)}, // no markup there
		Timestamp: e.Timestamp.UTC().Format(time.RFC3339Nano),
	}
	em.Fields = fields(chat.Facts(e, f.look.Metadata), maxTotal-chat.Length(em.Title)-chat.Length(em.Footer.Text))
	body, err := chat.JSON(message{Embeds: []embed{em}, Mentions: mentions{Parse: []string{}}})
	return contentType, body, err
}

// link is the address behind the title. Discord refuses a whole message if an
// address's host is a name without a dot, such as localhost.
func link(raw string) string {
	text := chat.Link(raw, maxURL)
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	if name := strings.TrimSuffix(u.Hostname(), "."); !strings.ContainsAny(name, ".:") { // a colon: an IPv6 address
		return ""
	}
	return text
}

func footerText(e *payload.Event) string {
	if by := chat.Line(e.TriggeredBy); by != "" {
		return "Triggered by " + by + ", " + e.DeploymentID
	}
	return e.DeploymentID
}

// fields shows as many facts as fit. The most important facts come first, and a
// long one leaves room for the others.
func fields(facts []chat.Fact, room int) []field {
	var list []field
	for _, fact := range facts {
		name := chat.Cut(chat.Line(fact.Label), maxName, escape)
		text := fact.Value
		if !fact.Long {
			text = chat.Line(text)
		}
		value := chat.Cut(text, min(maxValue, room-chat.Length(name)), escape)
		if value == "" || len(list) == maxFields {
			break
		}
		room -= chat.Length(name) + chat.Length(value)
		list = append(list, field{Name: name, Value: value, Inline: !fact.Long})
	}
	return list
}

// markup are the characters with a meaning anywhere in a line of Discord's
// Markdown. They are for emphasis, code, spoilers, quotes, headings, links,
// mentions and emoji codes. The escaped colon keeps addresses from becoming
// links.
const markup = "\\`*_~|<>#:[]()@!"

// escape puts a backslash before markup. A hyphen or plus is markup only at the
// beginning of a line, and so is a dot after a number.
func escape(before, r rune) string {
	switch {
	case strings.ContainsRune(markup, r):
		return "\\" + string(r)
	case r == '.' && before == chat.AfterNumber:
		return "\\."
	case (r == '-' || r == '+') && !unicode.IsLetter(before) && !unicode.IsDigit(before):
		return "\\" + string(r)
	}
	return ""
}
