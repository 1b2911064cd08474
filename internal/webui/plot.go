package webui

import (
	"fmt"
	"html"
	"html/template"
	"strings"
	"time"
)

// The plots are SVG with classes that the stylesheet colors. A table with the
// same figures follows each, for those who can't see it.

// Part is a part of a bar. Class is one of good, bad, wait and idle.
type Part struct {
	Class, Name string
	N           int
	More        bool // there may be more than N
}

// Slot is the bar of one hour, or another stretch of time.
type Slot struct {
	From  time.Time
	Parts []Part
}

func (s Slot) sum() (n int) {
	for _, p := range s.Parts {
		n += p.N
	}
	return n
}

// Strip shows what happened over time, as stacked bars.
type Strip struct {
	Name  string // what it shows, for a screen reader
	Slots []Slot
	Tall  bool
	Table bool // with the table behind it
}

// Sum is the sum of all bars.
func (s Strip) Sum() (n int) {
	for _, slot := range s.Slots {
		n += slot.sum()
	}
	return n
}

// HTML returns the plot. It has no text from outside.
func (s Strip) HTML() template.HTML {
	const width = 10
	height, most := 28, 1
	if s.Tall {
		height = 96
	}
	for _, slot := range s.Slots {
		most = max(most, slot.sum())
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg class="plot" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="%s">`,
		width*len(s.Slots), height, html.EscapeString(s.Name))
	for i, slot := range s.Slots {
		y := height
		fmt.Fprintf(&out, `<rect class="ground" x="%d" y="%d" width="%d" height="1"/>`, i*width, height-1, width-2)
		for _, p := range slot.Parts {
			if p.N == 0 {
				continue
			}
			h := max(3, p.N*(height-1)/most)
			y = max(y-h, 0)
			fmt.Fprintf(&out, `<rect class="%s" x="%d" y="%d" width="%d" height="%d"/>`, p.Class, i*width, y, width-2, h)
		}
	}
	out.WriteString(`</svg>`)
	if s.Table {
		s.table(&out)
	}
	return template.HTML(out.String())
}

func (s Strip) table(out *strings.Builder) {
	out.WriteString(`<details class="figures"><summary>Show the figures</summary><div class="scroll" tabindex="0" role="region" aria-label="Figures"><table><thead><tr><th>From</th>`)
	if len(s.Slots) > 0 {
		for _, p := range s.Slots[0].Parts {
			fmt.Fprintf(out, `<th class="num">%s</th>`, html.EscapeString(p.Name))
		}
	}
	out.WriteString(`</tr></thead><tbody>`)
	for _, slot := range s.Slots {
		fmt.Fprintf(out, `<tr><td>%s</td>`, Time(slot.From))
		for _, p := range slot.Parts {
			more := ""
			if p.More {
				more = "+"
			}
			fmt.Fprintf(out, `<td class="num">%d%s</td>`, p.N, more)
		}
		out.WriteString(`</tr>`)
	}
	out.WriteString(`</tbody></table></div></details>`)
}

// Spans shows how long the phases of one thing took, one after the other.
type Spans struct {
	Name  string
	Total time.Duration // of the whole width
	Parts []Span
}

// Span is one phase. Class is one of dns, connect, tls, wait and body.
type Span struct {
	Class, Name string
	For         time.Duration
}

// HTML returns the plot. It has no text from outside.
func (s Spans) HTML() template.HTML {
	const width, height = 400, 12
	var out strings.Builder
	fmt.Fprintf(&out, `<svg class="spans" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="%s">`,
		width, height, html.EscapeString(s.Name))
	fmt.Fprintf(&out, `<rect class="ground" x="0" y="0" width="%d" height="%d"/>`, width, height)
	x := 0.0
	for _, p := range s.Parts {
		if p.For <= 0 || s.Total <= 0 {
			continue
		}
		w := max(width*p.For.Seconds()/s.Total.Seconds(), 1)
		fmt.Fprintf(&out, `<rect class="%s" x="%.1f" y="0" width="%.1f" height="%d"/>`, p.Class, x, w, height)
		x += w
	}
	out.WriteString(`</svg>`)
	return template.HTML(out.String())
}

// Line shows one figure over time.
type Line struct {
	Name   string
	Points []float64
}

// HTML returns the plot. It has no text from outside.
func (l Line) HTML() template.HTML {
	const width, height = 400, 96
	most := 0.0
	for _, p := range l.Points {
		most = max(most, p)
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg class="plot" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="%s"><polyline class="line" points="`,
		width, height, html.EscapeString(l.Name))
	for i, p := range l.Points {
		x, y := 0.0, float64(height-2)
		if len(l.Points) > 1 {
			x = float64(i) * width / float64(len(l.Points)-1)
		}
		if most > 0 {
			y -= p / most * (height - 4)
		}
		fmt.Fprintf(&out, "%.1f,%.1f ", x, y)
	}
	out.WriteString(`"/></svg>`)
	return template.HTML(out.String())
}
