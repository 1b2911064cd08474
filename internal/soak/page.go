package main

import (
	"bytes"
	"html/template"
	"os"
	"path/filepath"
	"time"
)

// page shows the plots and the summary.
const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Soak, seed {{.Seed}}</title>
<style>
body { font: 16px/1.4 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
pre { background: #f4f4f4; padding: 1rem; overflow-x: auto }
img { width: 100%; height: auto }
</style>
<h1>Soak, seed {{.Seed}}</h1>
<pre>{{.Text}}</pre>
<p>Each band is a fault:
<span style="color:#c62828">a process is killed or told to end</span>,
<span style="color:#8e24aa">a process is frozen</span>,
<span style="color:#00796b">the network is spoiled</span>,
<span style="color:#6d4c41">the database is locked, cut off, frozen or killed</span>.
The last panel has a line for each kind.</p>
{{range .Stores}}
<h2>{{.}}</h2>
<p><a href="{{.}}.csv">samples</a>, <a href="{{.}}.log">log</a></p>
<img src="{{.}}.svg" alt="throughput, latency, backlog, memory and faults over time">
{{end}}
</html>
`

// write writes the samples and the plot of a world.
func (w *world) write() error {
	if len(w.rows) == 0 {
		return nil // it was too short for one sample
	}
	base := filepath.Join(w.config.out, w.place.Store)
	return firstError(w.writeCSV(base+".csv"), w.writePlot(base+".svg"))
}

// writePage writes index.html, which shows everything.
func (s *summary) writePage(dir string) error {
	var text, html bytes.Buffer
	s.write(&text)
	var stores []string
	for _, r := range s.Stores {
		stores = append(stores, r.Store)
	}
	t, err := template.New("page").Parse(page)
	if err != nil {
		return err
	}
	if err := t.Execute(&html, map[string]any{"Seed": s.Seed, "Text": text.String(), "Stores": stores}); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "index.html"), html.Bytes(), 0o644)
}

// minutes is the time since the beginning, for plots.
func (w *world) minutes(at time.Time) float64 { return at.Sub(w.began).Minutes() }
