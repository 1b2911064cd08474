package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress prints how far a subject is.
type progress struct {
	out     io.Writer
	subject string
	all     int
	began   time.Time

	mu                 sync.Mutex
	done, known, alive int
	shown              time.Time
}

func newProgress(out io.Writer, subject string, all int) *progress {
	now := time.Now()
	return &progress{out: out, subject: subject, all: all, began: now, shown: now}
}

// add counts a result. known says that it is of an earlier run.
func (p *progress) add(r result, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if known {
		p.known++
	}
	if r.outcome == survived || r.outcome == uncovered {
		p.alive++
	}
	if now := time.Now(); now.Sub(p.shown) > 10*time.Second || p.done == p.all {
		p.shown = now
		tried := p.done - p.known
		left := time.Duration(0)
		if tried > 0 {
			left = now.Sub(p.began) / time.Duration(tried) * time.Duration(p.all-p.done)
		}
		fmt.Fprintf(p.out, "%s: %d of %d mutants (%d from an earlier run), %d survived, %v gone, about %v left\n", p.subject,
			p.done, p.all, p.known, p.alive, now.Sub(p.began).Round(time.Second), left.Round(time.Second))
	}
}
