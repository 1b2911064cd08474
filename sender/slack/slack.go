package slack

import (
	"context"
	"errors"
	"fmt"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/internal/chat"
)

// Slack's limits, in characters where nothing else is said.
const (
	maxText     = 1000  // of the fallback; Slack cuts at 40,000 (https://docs.slack.dev/reference/methods/chat.postMessage)
	maxHeader   = 150   // https://docs.slack.dev/reference/block-kit/blocks/header-block
	maxSection  = 3000  // https://docs.slack.dev/reference/block-kit/blocks/section-block
	maxField    = 2000  // the same page
	maxFields   = 10    // fields of a section, the same page
	maxContext  = 1000  // of one element; a text object has 3000: https://docs.slack.dev/reference/block-kit/composition-objects/text-object
	maxButton   = 75    // https://docs.slack.dev/reference/block-kit/block-elements/button-element
	maxURL      = 3000  // the same page
	maxTotal    = 12000 // of all texts together; Slack answers msg_too_long or invalid_blocks beyond about that
	contentType = "application/json"
)

// ErrConfig is wrapped by every error of [New]. The text names the invalid
// option.
var ErrConfig = errors.New("slack: invalid configuration")

// Format turns events into Block Kit messages. It is immutable and safe for
// concurrent use.
type Format struct {
	look   chat.Look
	button string
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

// WithButton sets the text of the button that opens the event's URL. Default:
// "Open app". At most 75 characters. Empty means no button, and one of blanks
// only is an error.
func WithButton(text string) Option {
	return optionFunc(func(c *config) {
		if text != "" && chat.Blank(text) {
			c.note("WithButton", errors.New("the text is blank, with which Slack refuses a message; leave it empty for no button"))
		}
		if chat.Length(escaped(text)) > maxButton {
			c.note("WithButton", fmt.Errorf("the text is longer than %d characters", maxButton))
		}
		c.button = text
	})
}

// New returns a Format. It reports all mistakes in the options at once.
func New(opts ...Option) (*Format, error) {
	c := config{Format: Format{button: "Open app"}}
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

// Encode returns the message as JSON. There is one for every event.
func (f *Format) Encode(_ context.Context, e *payload.Event) (string, []byte, error) {
	title := plain(chat.Title(e), maxHeader)
	summary := chat.Cut(chat.Summary(e), maxText, escapeFallback)
	body, err := chat.JSON(message{
		Text:   summary,
		Blocks: []block{{Type: "header", Text: &title}},
		Attachments: []attachment{{
			Fallback: summary, Color: fmt.Sprintf("#%06x", f.look.Color(e)),
			Blocks: f.blocks(e, maxTotal-chat.Length(title.Text)-2*chat.Length(summary)),
		}},
	})
	return contentType, body, err
}

// blocks returns the blocks next to the coloured bar. Their texts have at most
// room characters in all. The most important facts come first, so a cut loses
// the least important ones.
func (f *Format) blocks(e *payload.Event, room int) []block {
	var blocks []block
	facts := chat.Facts(e, f.look.Metadata)
	context := plain(chat.Context(e), maxContext)
	room -= chat.Length(context.Text) + maxButton
	for len(facts) > 0 {
		n := 0
		for n < len(facts) && n < maxFields/2 && !facts[n].Long {
			n++
		}
		if n == 0 {
			n = 1
			if text := plain(facts[0].Label+": "+facts[0].Value, min(maxSection, room)); text.Text != "" {
				room -= chat.Length(text.Text)
				blocks = append(blocks, block{Type: "section", Text: &text})
			}
		} else if list := fields(facts[:n], &room); len(list) > 0 {
			blocks = append(blocks, block{Type: "section", Fields: list})
		}
		facts = facts[n:]
	}
	blocks = append(blocks, block{Type: "context", Elements: []any{context}})
	if link := chat.Link(e.URL, maxURL); link != "" && f.button != "" {
		blocks = append(blocks, block{Type: "actions", Elements: []any{
			button{Type: "button", Text: plain(f.button, maxButton), URL: link},
		}})
	}
	return blocks
}

// fields returns labels and values in turn, which Slack shows as two columns.
// It subtracts their length from room, and leaves out what does not fit.
func fields(facts []chat.Fact, room *int) []text {
	var list []text
	for _, fact := range facts {
		name := label(fact.Label)
		value := plain(chat.Line(fact.Value), min(maxField, *room-chat.Length(name.Text)))
		if value.Text == "" {
			break
		}
		*room -= chat.Length(name.Text) + chat.Length(value.Text)
		list = append(list, name, value)
	}
	return list
}
