package chat

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/redact"
	"github.com/deployhook/deployhook/payload"
)

// Level is how an event is to be seen.
type Level int

// The levels, by which formats choose a colour.
const (
	Info    Level = iota // a step on the way
	Good                 // it is live
	Warning              // an earlier version is back: service is restored, but the cause is not fixed
	Bad                  // it failed
)

// LevelOf returns the level of an event. A failed step of any type is Bad.
func LevelOf(e *payload.Event) Level {
	switch {
	case e.Type == payload.DeployFailed || e.Status == payload.StatusFailure:
		return Bad
	case e.Type == payload.DeployRolledBack || e.Status == payload.StatusRolledBack:
		return Warning
	case e.Type == payload.DeployLive:
		return Good
	}
	return Info
}

// Title is the event's type in words, such as "DEPLOY ROLLED BACK".
func Title(e *payload.Event) string {
	return cmp.Or(Line(strings.ToUpper(strings.NewReplacer(".", " ", "_", " ").Replace(string(e.Type)))), "EVENT")
}

// Summary is the event in one line, for a notification.
func Summary(e *payload.Event) string {
	s := Title(e)
	for _, part := range [...]struct{ before, text string }{
		{": ", e.App}, {" ", e.Version}, {" in ", e.Environment}, {": ", FirstLine(e.Error)},
	} {
		if text := Line(part.text); text != "" {
			s += part.before + text
		}
	}
	return s
}

// Fact is one fact of an event. The value is the original text, neither cleaned
// nor cut nor escaped, and never blank.
type Fact struct {
	Label, Value string
	Long         bool // a text of several lines, not a word
}

// Facts returns the facts that people want to see, the most important first.
// The metadata with the given names follow. There are at most 16 facts, and one
// more for each name.
func Facts(e *payload.Event, metadata []string) []Fact {
	var list facts
	list.add("App", e.App)
	list.add("Environment", e.Environment)
	list.long("Error", e.Error)
	list.add("Version", e.Version)
	list.add("Previous version", e.PreviousVersion)
	list.rollback(e.Rollback)
	list.commit(e.Commit)
	if e.Status != "" && string(e.Status) != outcome(e.Type) {
		list.add("Status", string(e.Status))
	}
	list.build(e)
	list.healthCheck(e.HealthCheck)
	list.add("Container", e.ContainerID)
	for _, name := range metadata {
		if v, ok := e.Metadata.Get(name); ok {
			list.add(name, valueText(v))
		}
	}
	return list
}

// Context says who started the deployment, when the step happened and which
// deployment it belongs to. The name is the original text.
func Context(e *payload.Event) string {
	s := ""
	if by := Line(e.TriggeredBy); by != "" {
		s = "Triggered by " + by + " "
	}
	return s + "at " + e.Timestamp.UTC().Format(time.RFC3339) + ", " + e.DeploymentID
}

type facts []Fact

func (l *facts) add(label, value string) {
	if !Blank(value) {
		*l = append(*l, Fact{Label: label, Value: value})
	}
}

func (l *facts) long(label, value string) {
	if !Blank(value) {
		*l = append(*l, Fact{Label: label, Value: value, Long: true})
	}
}

func (l *facts) rollback(r *payload.Rollback) {
	if r == nil {
		return
	}
	l.add("Restored version", r.RestoredVersion)
	if r.Automatic != nil {
		l.add("Rolled back", map[bool]string{true: "automatically", false: "by hand"}[*r.Automatic])
	}
	l.long("Reason", r.Reason)
}

func (l *facts) commit(c *payload.Commit) {
	if c == nil {
		return
	}
	l.add("Commit", c.SHA[:min(len(c.SHA), 12)])
	l.add("Branch", c.Branch)
	l.add("Author", c.Author)
	l.long("Message", FirstLine(c.Message))
}

func (l *facts) build(e *payload.Event) {
	text := ""
	if e.BuildDurationSeconds != nil {
		text = number(*e.BuildDurationSeconds) + " s"
	}
	if e.ImageSizeMB != nil {
		text = join(text, number(*e.ImageSizeMB)+" MB")
	}
	if e.CacheHit != nil {
		text = join(text, map[bool]string{true: "cache used", false: "no cache"}[*e.CacheHit])
	}
	l.add("Build", text)
}

func (l *facts) healthCheck(h *payload.HealthCheck) {
	if h == nil {
		return
	}
	text := Line(redact.Text(h.URL)) // a channel is no place for a password
	if h.StatusCode != nil {
		text = join(text, "status "+strconv.Itoa(*h.StatusCode))
	}
	if h.ResponseTimeMS != nil {
		text = join(text, number(*h.ResponseTimeMS)+" ms")
	}
	if h.Attempts != nil {
		text = join(text, strconv.Itoa(*h.Attempts)+" attempts")
	}
	l.add("Health check", text)
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// outcome is the status that goes without saying.
func outcome(t payload.Type) string {
	s, _ := t.DeploymentStatus()
	if t == payload.BuildCompleted || t == payload.HealthCheckPassed {
		s = payload.StatusSuccess
	}
	return string(s)
}

func valueText(v payload.Value) string {
	if text, ok := v.Text(); ok {
		return text
	}
	return v.JSON()
}
