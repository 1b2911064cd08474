package outbox

import (
	"cmp"
	"context"
	"errors"
	"math"
	"time"

	"github.com/deployhook/deployhook/sender"
)

const (
	maxDescriptionLength = 1024
	maxRate              = 100_000 // a second
	minRate              = 1.0 / 86400

	maxMetadata      = 50 // keys
	maxMetadataKey   = 40
	maxMetadataValue = 500
)

// rules check endpoints, and say how to send to them.
type rules struct {
	sender     *sender.Sender
	formats    map[string]sender.Format
	schedules  map[string]sender.Schedule
	maxTimeout time.Duration
}

// check applies all rules and sets Host. It asks DNS.
func (r *rules) check(ctx context.Context, e *endpointRow) error {
	if err := r.checkSettings(e); err != nil {
		return err
	}
	to, _, err := r.target(e, time.Now())
	if err != nil {
		return &FieldError{Field: "SignatureHeader", Reason: err.Error(), cause: err}
	}
	if err := r.sender.Check(ctx, to); err != nil {
		return checkError(err)
	}
	e.Host = to.String()
	return nil
}

// checkSettings checks what needs neither database nor network, and sets
// interval.
func (r *rules) checkSettings(e *endpointRow) error {
	if len(e.Description) > maxDescriptionLength || !plainText(e.Description) {
		return fieldError("Description", "want at most %d bytes of text without control characters", maxDescriptionLength)
	}
	if err := checkMetadata(e.Metadata); err != nil {
		return err
	}
	if _, err := r.format(e.BodyFormat); err != nil {
		return err
	}
	if _, ok := r.schedules[e.Schedule]; !ok {
		return fieldError("Schedule", "%q is not registered; see WithSchedule", e.Schedule)
	}
	if e.Timeout < 0 || e.Timeout > r.maxTimeout {
		return fieldError("Timeout", "%v: want 0 to %v; see WithMaxTimeout", e.Timeout, r.maxTimeout)
	}
	if e.Timeout > 0 { // stored in microseconds, of which 0 means the default
		e.Timeout = max(e.Timeout, time.Microsecond)
	}
	if e.MaxConcurrency < 0 || e.MaxConcurrency > maxSlots {
		return fieldError("MaxConcurrency", "%d: want 0 to %d", e.MaxConcurrency, maxSlots)
	}
	if !(e.RateLimit >= 0 && e.RateLimit <= maxRate) || e.RateLimit > 0 && e.RateLimit < minRate {
		return fieldError("RateLimit", "want 0 for none, or from one a day to %d a second", maxRate)
	}
	e.interval = interval(e.RateLimit)
	return nil
}

func checkMetadata(m map[string]string) error {
	if len(m) > maxMetadata {
		return fieldError("Metadata", "has %d keys; want at most %d", len(m), maxMetadata)
	}
	for key, value := range m {
		if key == "" || len(key) > maxMetadataKey || !plainText(key) {
			return fieldError("Metadata", "key %.50q: want 1 to %d bytes of text without control characters", key, maxMetadataKey)
		}
		if len(value) > maxMetadataValue || !plainText(value) {
			return fieldError("Metadata", "the value of %q: want at most %d bytes of text without control characters", key, maxMetadataValue)
		}
	}
	return nil
}

func interval(rate float64) time.Duration {
	if rate == 0 {
		return 0
	}
	return max(time.Duration(math.Round(float64(time.Second)/rate)).Round(time.Microsecond), time.Microsecond)
}

func rate(interval time.Duration) float64 {
	if interval == 0 {
		return 0
	}
	return float64(time.Second) / float64(interval)
}

// format returns the registered format, nil for one that always exists.
func (r *rules) format(name string) (sender.Format, error) {
	if _, ok := builtin(name); ok {
		return nil, nil
	}
	if f, ok := r.formats[name]; ok {
		return f, nil
	}
	return nil, fieldError("BodyFormat", "%q is not registered; see WithFormat", name)
}

// target returns what the sender needs, and until when it is valid.
func (r *rules) target(e *endpointRow, now time.Time) (sender.Endpoint, time.Time, error) {
	signs, until, err := e.Scheme.signer(e.SignatureHeader, e.keys, now)
	if err != nil {
		return sender.Endpoint{}, time.Time{}, err
	}
	timeout := min(cmp.Or(e.Timeout, r.sender.Timeout()), r.maxTimeout) // another process may have stored a longer one
	return sender.Endpoint{
		URL: e.url, Signer: signs, Events: e.Events, Header: e.header, Timeout: timeout, ClientCertificate: e.certificate,
	}, until, nil
}

// checkError turns what the sender's check found into an error that names the
// field.
func checkError(err error) error {
	if fault, ok := errors.AsType[*sender.EndpointError](err); ok {
		field := fault.Field
		if field == "Signer" {
			field = "Scheme"
		}
		return &FieldError{Field: field, Reason: fault.Reason, cause: err}
	}
	if fault, ok := errors.AsType[*sender.AttemptError](err); ok && fault.Class != sender.ClassCanceled {
		return &FieldError{Field: "URL", Reason: "the host can't be resolved", cause: err}
	}
	return wrap("checking endpoint", err)
}
