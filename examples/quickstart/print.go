package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

type printer interface {
	start(d *demo)
	result(r result)
	end(cases, failed int, took time.Duration)
}

// jsonLines prints one JSON object per case.
type jsonLines struct{ enc *json.Encoder }

func (jsonLines) start(*demo)                 {}
func (p jsonLines) result(r result)           { _ = p.enc.Encode(r) } // to the terminal, which may be closed
func (jsonLines) end(int, int, time.Duration) {}

// timeline prints one line per attempt.
type timeline struct {
	w     io.Writer
	scale float64
	begun time.Time
}

func (p *timeline) start(d *demo) {
	p.begun = time.Now()
	c := d.event.Commit
	var source string
	if v, ok := d.event.Metadata.Get("commit_source"); ok {
		source, _ = v.Text()
	}
	note := map[string]string{"git": "from git", "ci": "from the CI environment", "sample": "SAMPLE: neither git nor a CI environment was found"}[source]
	fmt.Fprintf(p.w, "event     %s of %s to %s (%s)\n", d.event.Type, d.event.App, d.event.Environment, note)
	fmt.Fprintf(p.w, "commit    %.12s %q by %s on %s\n", c.SHA, cut(c.Message, 60), orNone(c.Author), orNone(c.Branch))
	fmt.Fprintf(p.w, "receiver  %s, Standard Webhooks with HMAC-SHA256\n", d.url)
	fmt.Fprintf(p.w, "waits     %g times those in production (-scale)\n\n", p.scale)
	p.line("%-10s %8s  %-9s %-6s %-52s %s", "CASE", "AT", "ATTEMPT", "STATUS", "ANSWER", "THEN")
}

func (p *timeline) result(r result) {
	name := r.Case
	for _, a := range r.log {
		status, answer := fmt.Sprint(a.Status), cut(strings.TrimSpace(string(a.Body)), 52)
		if a.Status == 0 {
			status, answer = "-", cut(fmt.Sprint(a.Err), 52)
		}
		then := ""
		if a.Wait > 0 {
			then = "waits " + a.Wait.Round(time.Millisecond).String()
		}
		p.line("%-10s %7.3fs  %-9d %-6s %-52s %s", name, max(0, a.Start.Sub(p.begun).Seconds()), a.Number, status, answer, then)
		name = ""
		if full := strings.TrimSpace(string(a.Body)); full != answer {
			p.line("%-10s %8s  %s", "", "", full)
		}
	}
	outcome := "ok"
	if !r.OK {
		outcome = fmt.Sprintf("NOT OK: want status %d, %d attempt(s), handled %d %s", r.want.status, r.want.attempts, r.want.handled, r.want.answer)
		if r.Error != "" {
			outcome += "; " + r.Error
		}
	}
	fmt.Fprintf(p.w, "%-10s %8s  %s; handled %s: %s\n\n", "", "", r.what, times(r.Handled), outcome)
}

// line prints a line without the spaces of an empty last column.
func (p *timeline) line(format string, args ...any) {
	fmt.Fprintln(p.w, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

func (p *timeline) end(cases, failed int, took time.Duration) {
	fmt.Fprintf(p.w, "%d of %d cases ended as expected, in %s\n", cases-failed, cases, took.Round(10*time.Millisecond))
}

func times(n int) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func orNone(s string) string {
	if s == "" {
		return "(unknown)"
	}
	return s
}

// cut shortens a text to n characters.
func cut(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}
