package template

import (
	"context"
	"errors"
	"fmt"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/internal/chat"
)

const (
	// DefaultMaxValue is the longest inserted value in UTF-16 code units.
	// truncate can set less.
	DefaultMaxValue = 1000

	maxValueLimit = 100_000
	maxDocument   = 256 << 10             // bytes of a document
	maxRendered   = sender.DefaultMaxBody // bytes of a message
)

// ErrConfig is wrapped by every error of [New] and the presets. The text names
// the place in the document.
var ErrConfig = errors.New("template: invalid configuration")

// Markup says how a destination reads text, and so how inserted values are
// escaped.
type Markup int

const (
	// Plain is for destinations that read plain text. Nothing is escaped.
	Plain Markup = iota + 1
	// Markdown is for Mattermost, Rocket.Chat and other services that read some
	// kind of Markdown. These changes make a value plain text:
	//
	//   - Backslashes stand before emphasis, code, links, headings, lists and
	//     tables.
	//   - The characters &, < and > become entities.
	//   - A zero-width space after @ and before // breaks up mentions and
	//     addresses.
	//   - A zero-width space before = keeps the line above from becoming a
	//     heading.
	//   - Blanks that indent a line become blanks that do not.
	Markdown
	// HTML is for Google Chat's cards and other subsets of HTML. The characters
	// &, <, >, " and ' become entities.
	HTML
)

// Format turns events into messages by a JSON document whose strings are
// templates. It is immutable and safe for concurrent use.
type Format struct {
	root   node
	look   chat.Look
	max    int
	markup Markup
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

func (c *config) mistake(option string, err error) {
	c.mistakes = append(c.mistakes, fmt.Errorf("%w: %s: %w", ErrConfig, option, err))
}

// WithMaxValue bounds how long one inserted value gets, in UTF-16 code units
// after escaping. Default: 1000 ([DefaultMaxValue]), at most 100,000; zero is
// an error.
func WithMaxValue(units int) Option {
	return optionFunc(func(c *config) {
		if units <= 0 || units > maxValueLimit {
			c.mistake("WithMaxValue", fmt.Errorf("%d: want more than 0 and at most %d", units, maxValueLimit))
		}
		c.max = units
	})
}

// WithColor sets .Color for events of a type, in the form "#rrggbb". Default:
//
//	#36a64f (green)    deploy.live
//	#ff0000 (red)      deploy.failed, and every step whose status is failure
//	#daa038 (amber)    deploy.rolled_back
//	#3498db (blue)     all others
func WithColor(t payload.Type, color string) Option {
	return optionFunc(func(c *config) {
		if err := c.look.SetColor(t, color); err != nil {
			c.mistake("WithColor", err)
		}
	})
}

// New returns a Format for a JSON document of up to 256 KiB, whose texts the
// destination reads as markup. It reports every mistake in the document, such
// as invalid JSON, a malformed template, or an unknown field or function. It
// also executes the templates with sparse and full events of all types.
func New(document string, markup Markup, opts ...Option) (*Format, error) {
	c := config{Format: Format{max: DefaultMaxValue, markup: markup}}
	for _, o := range opts {
		if o == nil {
			c.mistake("New", errors.New("a nil Option was given; leave it out"))
			continue
		}
		o.apply(&c)
	}
	if markup < Plain || markup > HTML {
		c.mistake("New", errors.New("markup must be Plain, Markdown or HTML"))
	}
	if err := errors.Join(c.mistakes...); err != nil {
		return nil, err
	}
	f := &c.Format
	root, err := f.parse(document)
	if err == nil {
		f.root = root
		err = f.try()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return f, nil
}

// Encode executes the document's templates and returns the document as
// application/json. If the "$if" of the document itself gives an empty text,
// the error wraps [sender.ErrNoMessage]. A message over 1 MiB is an error.
func (f *Format) Encode(_ context.Context, e *payload.Event) (string, []byte, error) {
	body, err := f.render(f.data(e))
	if err != nil {
		return "", nil, err
	}
	return "application/json", body, nil
}

// escape returns how values are escaped.
func (f *Format) escape() chat.Escape {
	switch f.markup {
	case Markdown:
		return escapeMarkdown
	case HTML:
		return escapeHTML
	default:
		return chat.Plain
	}
}
