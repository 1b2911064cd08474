package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/deployhook/deployhook/sender/outbox"
)

// logLength is how many deliveries -log prints.
const logLength = 100

// printLog prints the latest deliveries to all services, newest first. Another
// process may be using the database.
func printLog(ctx context.Context, s *stores, event string, to io.Writer) error {
	page, err := s.outbox.Deliveries(ctx, outbox.DeliveryFilter{EventID: event}, outbox.Page{Limit: logLength})
	if err != nil {
		return err
	}
	names := map[string]string{}
	endpoints, err := s.outbox.App(services).Endpoints(ctx)
	if err != nil {
		return fmt.Errorf("no service was registered yet: %w", err)
	}
	for _, e := range endpoints {
		names[e.ID] = cmp.Or(e.Description, e.ID)
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AT\tEVENT\tTYPE\tDEPLOYMENT\tSERVICE\tSTATE\tATTEMPTS\tLAST ERROR")
	for _, d := range page.Items {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", d.CreatedAt.UTC().Format(time.RFC3339), printable(d.EventID), printable(string(d.Type)),
			printable(d.DeploymentID), printable(cmp.Or(names[d.Endpoint], d.Endpoint)), d.State, d.Attempts, printable(d.LastError))
	}
	return w.Flush()
}

// printable keeps a text from the outside on its line of the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '.'
		}
		return r
	}, text)
}
