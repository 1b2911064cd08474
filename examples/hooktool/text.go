package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"
)

// printTable prints rows with aligned columns.
func printTable(out io.Writer, rows [][]string) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // a failed write has no reader
}

// column is a column of a table whose rows are printed as they come.
type column struct {
	title string
	width int // in characters; longer texts move the rest of the row
}

// alignRow returns a row with texts below their titles.
func alignRow(columns []column, texts ...string) string {
	var row strings.Builder
	for i, text := range texts {
		row.WriteString(text)
		if i < len(texts)-1 {
			row.WriteString(strings.Repeat(" ", max(columns[i].width-utf8.RuneCountInString(text), 0)+2))
		}
	}
	return strings.TrimRight(row.String(), " ")
}

func titles(columns []column) []string {
	var out []string
	for _, c := range columns {
		out = append(out, c.title)
	}
	return out
}

// printable makes a text from a request or an answer fit for a terminal. It
// replaces control characters, which could move the cursor or hide text.
func printable(text string, limit int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
	return cut(strings.TrimSpace(clean), limit)
}

// cut shortens a text to a number of characters.
func cut(text string, limit int) string {
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	return string(runes[:limit-1]) + "…"
}

// cutMiddle shortens an ID. Those of one pipeline run begin alike and differ at
// their end, such as in the service.
func cutMiddle(id string, limit int) string {
	runes := []rune(id)
	if len(runes) <= limit {
		return id
	}
	head := limit / 2
	return string(runes[:head]) + "…" + string(runes[len(runes)-(limit-head-1):])
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// plural returns a number and its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "y") {
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(noun, "y"))
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
