package webui

import (
	"fmt"
	"html/template"
	"math"
	"time"
	"unicode/utf8"
)

// funcs are for all templates.
func (u *UI) funcs() template.FuncMap {
	return template.FuncMap{
		"time": Time, "since": Since, "duration": Duration, "clip": Clip, "plural": Plural, "dict": dict,
		"strip": func(s Strip) template.HTML { return s.HTML() }, "spans": func(s Spans) template.HTML { return s.HTML() },
		"bars": func(b Bars) template.HTML { return b.HTML() },
		"line": func(l Line) template.HTML { return l.HTML() },
	}
}

// Time shows a time. Without the script it is in UTC and says so. The script
// shows it in the viewer's zone.
func Time(t time.Time) template.HTML {
	if t.IsZero() {
		return `<span class="none">–</span>`
	}
	t = t.UTC()
	text := t.Format("2006-01-02 15:04:05") + " UTC"
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, t.Format(time.RFC3339Nano), text, text))
}

// Since shows how long ago a time was, with the time itself on hover.
func Since(t, now time.Time) template.HTML {
	if t.IsZero() {
		return `<span class="none">–</span>`
	}
	text := "just now"
	switch d := now.Sub(t); {
	case d >= time.Second:
		text = Duration(d) + " ago"
	case d <= -time.Second:
		text = "in " + Duration(-d)
	}
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-relative title="%s UTC">%s</time>`,
		t.Format(time.RFC3339Nano), t.Format("2006-01-02 15:04:05"), text))
}

// Duration shows a duration with two figures that matter, such as "3 h 20 min".
func Duration(d time.Duration) string {
	switch {
	case d <= 0:
		return "0 s"
	case d < time.Millisecond:
		return "under 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", math.Floor(d.Seconds()*10)/10)
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return two(int(d.Minutes()), "min", int(d.Seconds())%60, "s")
	case d < 48*time.Hour:
		return two(int(d.Hours()), "h", int(d.Minutes())%60, "min")
	}
	return two(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
}

func two(large int, unit string, small int, smaller string) string {
	if small == 0 {
		return fmt.Sprintf("%d %s", large, unit)
	}
	return fmt.Sprintf("%d %s %d %s", large, unit, small, smaller)
}

// Clip shortens a text to a number of bytes, at the end of a character. It
// makes invalid UTF-8 visible.
func Clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// Plural returns "1 event" or "3 events".
func Plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// dict passes several values to a template.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("webui: dict has an odd number of arguments")
	}
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("webui: dict: %v is not a name", pairs[i])
		}
		out[name] = pairs[i+1]
	}
	return out, nil
}
