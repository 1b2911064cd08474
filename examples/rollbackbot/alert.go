package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/discord"
	"github.com/deployhook/deployhook/sender/slack"
)

// The types of alerts.
const (
	smokeTestFailed payload.Type = "smoke_test.failed"
	rollbackFailed  payload.Type = "rollback.failed"
)

// alerter tells people. The log always has a line. The webhook is optional.
type alerter struct {
	logger   *slog.Logger
	sender   *sender.Sender
	endpoint *sender.Endpoint // or nil
}

func newAlerter(o *options, s *sender.Sender, logger *slog.Logger) (*alerter, error) {
	a := &alerter{logger: logger, sender: s}
	if o.alertURL == "" {
		return a, nil
	}
	var format sender.Format
	sign := sender.InsecureUnsigned() // the URL of a chat service is the credential
	var err error
	switch o.alertFormat {
	case "slack":
		format, err = slack.New()
	case "discord":
		format, err = discord.New()
	default:
		if sign, err = newScheme(o.alertSecret); err != nil {
			err = fmt.Errorf("ROLLBACKBOT_ALERT_SECRET: %w", err)
		}
	}
	a.endpoint = &sender.Endpoint{URL: sender.NewURL(o.alertURL), Signer: sign, BodyFormat: format}
	return a, err
}

// alertTime bounds how long an alert is tried. The sender's schedule makes
// attempts for about a minute.
const alertTime = 90 * time.Second

// alert logs at once and sends the alert in the background. The returned
// function waits until it is delivered or given up. A rollback must not wait
// for a chat service that is down, and a chat service that is down must not
// repeat the tests, so an alert that is given up is logged only.
func (a *alerter) alert(ctx context.Context, t payload.Type, of *payload.Event, problem string) (wait func()) {
	a.logger.ErrorContext(ctx, string(t), "app", of.App, "environment", of.Environment, "deployment", of.DeploymentID,
		"version", of.Version, "url", of.URL, "problem", problem)
	if a.endpoint == nil {
		return func() {}
	}
	message := &payload.Event{
		Type: t, Timestamp: time.Now(), DeploymentID: of.DeploymentID, App: of.App, Environment: of.Environment, URL: of.URL,
		Version: of.Version, PreviousVersion: of.PreviousVersion, Commit: of.Commit, TriggeredBy: of.TriggeredBy, Error: problem,
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		ctx, cancel := context.WithTimeout(ctx, alertTime)
		defer cancel()
		if _, err := a.sender.Send(ctx, *a.endpoint, message); err != nil {
			a.logger.ErrorContext(ctx, "an alert was not delivered", "alert", t, "deployment", of.DeploymentID, "error", err)
		}
	}()
	return func() { <-sent }
}
