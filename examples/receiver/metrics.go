package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
	"github.com/deployhook/deployhook/receiver/deployments/gitlinker"
)

// incidentsHandler receives incidents with the API keys of deploymentsHandler.
func incidentsHandler(c config, text string) (http.Handler, error) {
	scheme, err := newAPIKeys(text)
	if err != nil {
		return nil, err
	}
	return deployments.NewIncidents(scheme, c.stores.ledger, deployments.WithLogger(c.logger), deployments.WithTelemetry(c.telemetry.receivers),
		deployments.WithObserver(c.recent.Observer("incidents")))
}

// metricsHandler serves the five DORA metrics for the same API keys.
func metricsHandler(c config, text string) (http.Handler, error) {
	scheme, err := newAPIKeys(text)
	if err != nil {
		return nil, err
	}
	calculator, err := c.calculator()
	if err != nil {
		return nil, err
	}
	return dora.NewHandler(scheme, calculator, dora.WithHandlerLogger(c.logger))
}

// calculator has lead times if there are repositories.
func (c config) calculator() (*dora.Calculator, error) {
	if c.repos == "" {
		return dora.New(c.stores.ledger)
	}
	linker, err := gitlinker.New(reposIn(c.repos))
	if err != nil {
		return nil, fmt.Errorf("-repos: %w", err)
	}
	return dora.New(c.stores.ledger, dora.WithCommits(linker))
}

// reportFlags are the flags of the report that the program prints instead of
// serving.
type reportFlags struct{ organization, from, to, zone string }

func (r *reportFlags) add(f *flag.FlagSet) {
	f.StringVar(&r.organization, "report", "", "print the DORA metrics of this `organization` and exit")
	f.StringVar(&r.from, "from", "", "first `day` of the report, such as 2026-01-31; default: 13 weeks before -to")
	f.StringVar(&r.to, "to", "", "`day` after the last one of the report; default: tomorrow")
	f.StringVar(&r.zone, "zone", "UTC", "`time zone` of the report's days, such as Europe/Berlin")
}

// write prints a report for each service and environment.
func (r *reportFlags) write(ctx context.Context, c config, out io.Writer) error {
	to := r.to
	if to == "" {
		to = time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly)
	}
	from := r.from
	if end, err := time.Parse(time.DateOnly, to); from == "" && err == nil {
		from = end.AddDate(0, 0, -13*7).Format(time.DateOnly)
	}
	w, err := dora.NewWindow(r.zone, from, to)
	if err != nil {
		return fmt.Errorf("-from, -to, -zone: %w", err)
	}
	calculator, err := c.calculator()
	if err != nil {
		return err
	}
	reports, err := calculator.Reports(ctx, r.organization, w)
	if err != nil {
		return fmt.Errorf("-report: %w", err)
	}
	if len(reports) == 0 {
		return fmt.Errorf("-report: the store has no deployments of %.100q", r.organization)
	}
	for _, report := range reports {
		if err := report.WriteText(out); err != nil {
			return err
		}
	}
	return nil
}
