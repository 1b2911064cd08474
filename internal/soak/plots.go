package main

import (
	"image/color"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The size of a store's plot. The panels are one above the other, and share
// their axis of time.
const (
	plotWidth   = 10 * vg.Inch
	panelHeight = 1.9 * vg.Inch
)

// curve is a line in a panel.
type curve struct {
	name  string
	value func(*row) float64
}

// panel is a plot of values over time.
type panel struct {
	title, unit string
	log         bool
	curves      []curve
}

const mebi = 1 << 20

func panels() []panel {
	return []panel{
		{"Throughput", "per second", false, []curve{
			{"deliveries handled", func(r *row) float64 { return r.deliveries }},
			{"events published", func(r *row) float64 { return r.events }},
		}},
		{"Latency from publishing to handling", "seconds", true, []curve{
			{"99th percentile", func(r *row) float64 { return max(r.p99, 0.001) }},
			{"median", func(r *row) float64 { return max(r.p50, 0.001) }},
		}},
		{"Backlog", "pending deliveries", false, []curve{
			{"outbox", func(r *row) float64 { return r.outbox }},
			{"inbox", func(r *row) float64 { return r.inbox }},
		}},
		{"Heap of the steady processes, after garbage collection", "MiB", false, []curve{
			{"sender", func(r *row) float64 { return r.sender.Heap / mebi }},
			{"receiver", func(r *row) float64 { return r.receiver.Heap / mebi }},
		}},
		{"Resident memory of the steady processes", "MiB", false, []curve{
			{"sender", func(r *row) float64 { return r.sender.Resident / mebi }},
			{"receiver", func(r *row) float64 { return r.receiver.Resident / mebi }},
		}},
	}
}

func lineColors() []color.Color {
	return []color.Color{color.RGBA{0x1f, 0x5f, 0xa8, 0xff}, color.RGBA{0xd0, 0x6a, 0x00, 0xff}}
}

// colorOf is the color of a group of faults.
func colorOf(name string) color.RGBA {
	switch group, _, _ := strings.Cut(name, "-"); group {
	case "kill", "term":
		return color.RGBA{0xc6, 0x28, 0x28, 0xff}
	case "stop":
		return color.RGBA{0x8e, 0x24, 0xaa, 0xff}
	case "net":
		return color.RGBA{0x00, 0x79, 0x6b, 0xff}
	}
	return color.RGBA{0x6d, 0x4c, 0x41, 0xff} // the database
}

// writePlot draws the samples of a world, with the faults marked.
func (w *world) writePlot(file string) (err error) {
	spans := w.faults.past()
	var rows [][]*plot.Plot
	end := w.minutes(w.rows[len(w.rows)-1].at)
	for _, one := range panels() {
		p := w.newPlot(one.title, end)
		p.Y.Label.Text = one.unit
		p.Add(bands{w, spans})
		if err := w.draw(p, one); err != nil {
			return err
		}
		rows = append(rows, []*plot.Plot{p})
	}
	p := w.newPlot("Faults", end)
	p.X.Label.Text = "minutes"
	strip := newStrip(w, spans)
	p.Add(strip)
	p.NominalY(strip.names...)
	p.Y.Tick.Label.Font.Size = vg.Points(7)
	p.Y.Min, p.Y.Max = -0.5, float64(len(strip.names))-0.5
	rows = append(rows, []*plot.Plot{p})

	canvas := vgsvg.New(plotWidth, panelHeight*vg.Length(len(rows)))
	tiles := draw.Tiles{Rows: len(rows), Cols: 1, PadY: vg.Points(10), PadTop: vg.Points(6), PadRight: vg.Points(12), PadBottom: vg.Points(6), PadLeft: vg.Points(6)}
	for i, c := range plot.Align(rows, tiles, draw.New(canvas)) {
		rows[i][0].Draw(c[0])
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(f)
	return firstError(err, f.Close())
}

func (w *world) newPlot(title string, end float64) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(4)
	p.X.Min, p.X.Max = 0, end
	p.Legend.Top, p.Legend.Left = true, true
	p.BackgroundColor = color.White
	return p
}

// draw adds the lines. A line has a gap where values are missing.
func (w *world) draw(p *plot.Plot, one panel) error {
	for i, c := range one.curves {
		named := false
		for _, points := range w.pieces(c) {
			line, err := plotter.NewLine(points)
			if err != nil {
				return err
			}
			line.Color, line.Width = lineColors()[i], vg.Points(1.2)
			p.Add(line)
			if !named {
				p.Legend.Add(c.name, line)
				named = true
			}
		}
	}
	p.X.Min, p.X.Max = 0, w.minutes(w.rows[len(w.rows)-1].at)
	if one.log {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plainTicks{plot.LogTicks{Prec: 4}}
		p.Y.Min, p.Y.Max = min(p.Y.Min, 0.01), max(p.Y.Max, 1)*20 // room for the legend
	} else {
		p.Y.Tick.Marker = plainTicks{plot.DefaultTicks{}}
		p.Y.Min, p.Y.Max = 0, max(p.Y.Max, 1)*1.35 // room for the legend
	}
	return nil
}

// plainTicks writes numbers in full, as in 50 and 10000.
type plainTicks struct{ plot.Ticker }

func (t plainTicks) Ticks(low, high float64) []plot.Tick {
	all := t.Ticker.Ticks(low, high)
	for i := range all {
		if all[i].Label != "" {
			all[i].Label = strconv.FormatFloat(math.Round(all[i].Value*1000)/1000, 'f', -1, 64)
		}
	}
	return all
}

func (w *world) pieces(c curve) (all []plotter.XYs) {
	var piece plotter.XYs
	for i := range w.rows {
		y := c.value(&w.rows[i])
		if y != y {
			all, piece = append(all, piece), nil
			continue
		}
		piece = append(piece, plotter.XY{X: w.minutes(w.rows[i].at), Y: y})
	}
	return slices.DeleteFunc(append(all, piece), func(points plotter.XYs) bool { return len(points) == 0 })
}

// bands shades the times of faults behind a panel's lines.
type bands struct {
	w     *world
	spans []span
}

func (b bands) Plot(c draw.Canvas, p *plot.Plot) {
	for _, s := range b.spans {
		shade := colorOf(s.name)
		shade.R, shade.G, shade.B, shade.A = shade.R/6, shade.G/6, shade.B/6, 0xff/6 // premultiplied
		fill(c, p, shade, b.w.minutes(s.begin), b.w.minutes(s.end), 0, 1)
	}
}

// fill draws a rectangle that is never too narrow to see. Heights are parts of
// the canvas.
func fill(c draw.Canvas, p *plot.Plot, shade color.Color, from, to, low, high float64) {
	x, _ := p.Transforms(&c)
	left, right := x(from), min(max(x(to), x(from)+vg.Points(1)), c.Max.X)
	height := c.Max.Y - c.Min.Y
	bottom, top := c.Min.Y+vg.Length(low)*height, c.Min.Y+vg.Length(high)*height
	c.FillPolygon(shade, []vg.Point{{X: left, Y: bottom}, {X: right, Y: bottom}, {X: right, Y: top}, {X: left, Y: top}})
}

// strip has a line for each kind of fault.
type strip struct {
	w     *world
	names []string
	spans []span
}

func newStrip(w *world, spans []span) *strip {
	s := &strip{w: w, spans: spans}
	for _, kind := range w.faults.kinds {
		s.names = append(s.names, kind.name)
	}
	slices.Reverse(s.names) // the first is on top
	return s
}

func (s *strip) Plot(c draw.Canvas, p *plot.Plot) {
	n := float64(len(s.names))
	for _, one := range s.spans {
		i := float64(slices.Index(s.names, one.name))
		fill(c, p, colorOf(one.name), s.w.minutes(one.begin), s.w.minutes(one.end), (i+0.15)/n, (i+0.85)/n)
	}
}
