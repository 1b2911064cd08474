package console

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/receiver"
)

// recentSpan is a length of time before now, and the bars of its plot.
type recentSpan struct {
	Value, Text    string
	minutes, slots int
}

var recentSpans = []recentSpan{
	{"1h", "Last hour", 60, 60},
	{"6h", "6 hours", 6 * 60, 72},
	{"24h", "24 hours", recentMinutes, 96},
}

// outcomeTexts are the outcomes in a word.
var outcomeTexts = map[receiver.Outcome]string{
	receiver.Handled: "Handled", receiver.Accepted: "Stored", receiver.Duplicate: "Duplicate", receiver.Ignored: "Ignored",
	receiver.InFlight: "In flight", receiver.Refused: "Refused", receiver.Unauthenticated: "Not authentic", receiver.Invalid: "Invalid",
	receiver.Failed: "Failed", receiver.Panicked: "Panicked", receiver.Unavailable: "Unavailable",
}

// recentRow is a line of the table.
type recentRow struct {
	Source, Reason, Do string
	Tag                webui.Tag
	N                  int
	Last               time.Time
}

// classes of the bars, from the bottom to the top.
var recentClasses = []webui.Part{
	{Class: "good", Name: "Handled or stored"},
	{Class: "idle", Name: "Duplicate or ignored"},
	{Class: "wait", Name: "Refused"},
	{Class: "bad", Name: "Failed"},
}

func classIndex(class string) int {
	return slices.IndexFunc(recentClasses, func(p webui.Part) bool { return p.Class == class })
}

func showRecent(v *view) error {
	q := v.r.URL.Query()
	span := recentSpans[len(recentSpans)-1]
	for _, s := range recentSpans {
		if s.Value == q.Get("range") {
			span = s
		}
	}
	source := q.Get("source")
	strip := recentStrip(v.now, span)
	var rows []recentRow
	figures := make([]int, len(recentClasses))
	duplicates := 0
	for _, c := range v.recent.read(v.now, span.minutes, span.slots) {
		if source != "" && c.source != source {
			continue
		}
		k := kinds[c.kind]
		row := recentRow{Source: c.source, Reason: k.reason, Do: k.do, Tag: webui.Tag{Class: k.class, Text: outcomeTexts[k.outcome]}, Last: c.last}
		for i, n := range c.slots {
			row.N += n
			strip.Slots[i].Parts[classIndex(k.class)].N += n
		}
		figures[classIndex(k.class)] += row.N
		if k.outcome == receiver.Duplicate {
			duplicates += row.N
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b recentRow) int {
		return cmp.Or(classIndex(b.Tag.Class)-classIndex(a.Tag.Class), b.N-a.N, strings.Compare(a.Source, b.Source))
	})
	return v.render(page{template: "recent.html", title: "Recent deliveries", current: partRecent, live: true, data: struct {
		scope
		Rows                              []recentRow
		Strip                             webui.Strip
		Classes                           []webui.Part
		Handled, Refused, Failed, Ignored int
		Duplicates                        int
		Sources                           []string
		Source, Range                     string
		Spans                             []recentSpan
		Began                             time.Time
	}{
		v.scope(), rows, strip, recentClasses, figures[0], figures[2], figures[3], figures[1] - duplicates, duplicates,
		v.recent.names(), source, span.Value, recentSpans, v.recent.began,
	}})
}

// recentStrip is the plot without any request.
func recentStrip(now time.Time, span recentSpan) webui.Strip {
	s := webui.Strip{Name: "Requests over time, by what became of them", Tall: true, Table: true, Slots: make([]webui.Slot, span.slots)}
	length := time.Duration(span.minutes) * time.Minute / time.Duration(span.slots)
	end := now.Truncate(time.Minute).Add(time.Minute)
	for i := range s.Slots {
		s.Slots[i] = webui.Slot{From: end.Add(-length * time.Duration(span.slots-i)), Parts: slices.Clone(recentClasses)}
	}
	return s
}

// recentQuery is the page in a URL.
func recentQuery(span, source string) string {
	q := url.Values{"range": {span}}
	if source != "" {
		q.Set("source", source)
	}
	return q.Encode()
}
