package webui

import (
	"fmt"
	"html"
	"html/template"
	"strings"
)

// Bars shows one figure over time, with a bar for each stretch of time.
type Bars struct {
	// Name is what it shows, for a screen reader.
	Name string
	// Values are nil where nothing was measured. Such a stretch has no bar, and
	// zero has a flat one.
	Values []*float64
}

// HTML returns the plot. It has no text from outside.
func (b Bars) HTML() template.HTML {
	const width, height = 10, 96
	most := 0.0
	for _, v := range b.Values {
		if v != nil {
			most = max(most, *v)
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg class="plot" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="%s">`,
		width*max(len(b.Values), 1), height, html.EscapeString(b.Name))
	for i, v := range b.Values {
		fmt.Fprintf(&out, `<rect class="ground" x="%d" y="%d" width="%d" height="1"/>`, i*width, height-1, width-2)
		if v == nil {
			continue
		}
		h := 3.0
		if most > 0 {
			h = max(h, *v/most*(height-1))
		}
		fmt.Fprintf(&out, `<rect class="bar" x="%d" y="%.1f" width="%d" height="%.1f"/>`, i*width, height-h, width-2, h)
	}
	out.WriteString(`</svg>`)
	return template.HTML(out.String())
}
