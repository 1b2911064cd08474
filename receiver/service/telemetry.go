package service

import (
	"context"
	"io"
	"log/slog"

	"github.com/deployhook/deployhook/internal/nilable"
)

// CheckResult is the last result of a check of [WithCheck].
type CheckResult struct {
	Name string
	Err  error // nil if the check succeeded
}

// Checks returns the result of each check, in the order of their options. Like
// [Service.Ready] it runs the checks at most every 5 seconds. Checks that have
// not returned when ctx ends have failed. It returns none after the end of
// [Service.Run].
func (s *Service) Checks(ctx context.Context) []CheckResult {
	if s == nil || s.server == nil || s.health.ending.Err() != nil {
		return nil
	}
	return s.health.results(ctx)
}

// WithTelemetry sets what follows the checks, for metrics. Package otelservice
// implements it with OpenTelemetry. [New] calls open last, with
// [Service.Checks]. An error of open is an error of New. [Service.Run] closes
// what open returned when it ends. Default: none. A nil function is an error.
func WithTelemetry(open func(checks func(context.Context) []CheckResult) (io.Closer, error)) Option {
	return option(func(c *config) { c.openTelemetry, c.telemetryGiven = open, true })
}

// startTelemetry opens what WithTelemetry was given.
func (s *Service) startTelemetry() error {
	if s.openTelemetry == nil {
		return nil
	}
	var err error
	fault := s.faults.Call(context.Background(), inTelemetry, func() { s.telemetry, err = s.openTelemetry(s.Checks) })
	switch {
	case fault != nil:
		return configError("WithTelemetry: the function %w", fault)
	case err != nil:
		return configError("WithTelemetry: %w", err)
	case nilable.IsNil(s.telemetry):
		return configError("WithTelemetry: the function returned neither an io.Closer nor an error")
	}
	return nil
}

// closeTelemetry waits no longer than for handlers.
func (s *Service) closeTelemetry() {
	if s.telemetry == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.stopTimeout)
	defer cancel()
	var err error
	fault := s.faults.CallUntil(ctx, inTelemetry, func() { err = s.telemetry.Close() })
	if fault == nil && err != nil {
		s.logger.Warn("service: closing the telemetry failed", slog.String("error", err.Error()))
	}
}
