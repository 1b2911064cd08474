package main

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"
)

func listenColumns() []column {
	return []column{{"TIME", 8}, {"RESULT", 9}, {"EVENT", 19}, {"DEPLOYMENT", 14}, {"APP", 11}, {"ENVIRONMENT", 11}, {"ANSWER", 6}, {"DETAIL", 0}}
}

// greet says where the listener is and what it does.
func (l *listener) greet(addr net.Addr) {
	url := "http://" + addr.String()
	if l.c.json {
		l.c.printJSON(map[string]string{"kind": "listening", "url": url})
		return
	}
	rows := [][]string{{"listening", url + "  (end with Ctrl-C)"}}
	switch {
	case !l.ring.current.given():
		rows = append(rows, []string{"verifying", "nothing: " + secretVariable + " is not set"})
	default:
		rows = append(rows, []string{"verifying", cmp.Or(l.scheme.name, "the scheme of the headers")})
	}
	if l.record != "" {
		rows = append(rows, []string{"recording", l.record})
	}
	if l.forward != "" {
		rows = append(rows, []string{"forwarding", l.forward})
	}
	printTable(l.c.stdout, rows)
	fmt.Fprintln(l.c.stdout)
	fmt.Fprintln(l.c.stdout, alignRow(l.columns, titles(l.columns)...))
}

// print shows a request. The caller holds the lock.
func (l *listener) print(in *incoming) {
	if l.c.json {
		l.c.printJSON(in)
		return
	}
	answer := strconv.Itoa(in.Answer)
	if in.Event == "" {
		in.Event = cut(in.Method+" "+in.Path, 40)
	}
	fmt.Fprintln(l.c.stdout, alignRow(l.columns, in.Received.Format("15:04:05"), in.Result, cmp.Or(printable(in.Event, 40), "-"),
		cmp.Or(cutMiddle(printable(in.Deployment, 255), 40), "-"), cmp.Or(printable(in.App, 30), "-"), cmp.Or(printable(in.Environment, 20), "-"),
		answer, cmp.Or(printable(in.Detail, 48), fmt.Sprintf("%d bytes", in.Bytes))))
	var rows [][]string
	add := func(name, text string) {
		if text != "" {
			rows = append(rows, []string{strings.Repeat(" ", 10) + name, printable(text, 600)})
		}
	}
	if v := in.Verification; v != nil && !v.OK {
		add("fault", v.Code+", "+v.Part)
		add("why", v.Why)
		add("do", v.Do)
		for _, note := range v.Notes {
			add("note", note)
		}
	}
	add("invalid", in.Invalid)
	add("error", in.Error)
	printTable(l.c.stdout, rows)
}

// summarize is the last output.
func (l *listener) summarize() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.c.json {
		l.c.printJSON(map[string]any{"kind": "summary", "requests": l.number, "faults": l.faults})
		return
	}
	fmt.Fprintf(l.c.stdout, "\n%s, %d with a fault\n", plural(l.number, "request"), l.faults)
}
