package sender

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/signer"
)

// The names under which [Sender.Faults] counts faults.
const (
	inObserver  = "WithObserver"
	inTelemetry = "WithTelemetry"
	inSchedule  = "WithSchedule"
	inResolver  = "WithResolver"
	inDialer    = "WithDialer"
	inSigner    = "Endpoint.Signer"
	inFormat    = "Endpoint.BodyFormat"
	inDialing   = "dialing"
)

// Faults returns the number of faults of the application's callbacks. A fault
// is a panic, the end of the goroutine (runtime.Goexit), a schedule that did
// not answer in time, or a signer or format that did not return when its
// context ended. All faults are contained, so every attempt has its record.
//
// The keys are "WithObserver", "WithTelemetry", "WithSchedule", "WithResolver",
// "WithDialer", "WithLogger", "Endpoint.Signer", "Endpoint.BodyFormat" and, for
// the Sender's own work on other goroutines, "dialing". The map is empty if
// there was no fault.
func (s *Sender) Faults() map[string]uint64 {
	if s.made() != nil {
		return map[string]uint64{}
	}
	return s.faults.Counts()
}

func newFaults(c *config) *contain.Faults {
	if c.logger == nil {
		c.logger = slog.Default()
	}
	return contain.New("sender", c.logger.Handler())
}

// observed calls the observer.
func (s *Sender) observed(ctx context.Context, a Attempt) {
	s.faults.Call(ctx, inObserver, func() { s.observer(ctx, a) })
}

func checkSchedule(schedule Schedule) error {
	if schedule == nil {
		return errors.New("the schedule is nil, or Scaled was given a factor that is not between 0 and 1")
	}
	var waits backoff.BackOff
	if fault := contain.Call(func() { waits = schedule() }); fault != nil {
		return fmt.Errorf("the schedule %w", fault)
	}
	if nilable.IsNil(waits) {
		return errors.New("the schedule returns nil; return a backoff.BackOff")
	}
	return nil
}

// These say no more, since a signer's panic may show a key.
var (
	errSigner     = errors.New("the signer panicked or ended its goroutine")
	errSignerLate = errors.New("the signer did not return when its context ended")
)

// sign calls the target's signer. A signer of package signer runs on the
// caller's goroutine, because another one would cost allocations.
func (s *Sender) sign(ctx context.Context, t *target, req *http.Request, id string, at time.Time, body []byte) error {
	if !t.ours {
		return s.signAside(ctx, t.signer, req, id, at, body)
	}
	var err error
	if fault := contain.Inline(func() { err = t.signer.Sign(ctx, req, id, at, body) }); fault != nil {
		return s.unsigned(ctx, fault)
	}
	return err
}

// signAside takes the signer alone, so that the target stays on the stack. The
// signer gets a copy of the body, because the caller may reuse its own after
// the attempt and a signer that ignores ctx may still read it then.
func (s *Sender) signAside(ctx context.Context, own signer.Signer, req *http.Request, id string, at time.Time, body []byte) error {
	body = bytes.Clone(body)
	var err error
	if fault := contain.CallUntil(ctx, func() { err = own.Sign(ctx, req, id, at, body) }); fault != nil {
		return s.unsigned(ctx, fault)
	}
	return err
}

func (s *Sender) unsigned(ctx context.Context, fault *contain.Fault) error {
	s.faults.Report(ctx, inSigner, fault.Discreet())
	if fault.Late() {
		return errSignerLate
	}
	return errSigner
}

// isOwnSigner reports whether a signer is one of package signer or a package
// below it.
func isOwnSigner(s signer.Signer) bool {
	t := reflect.TypeOf(s)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t == unsignedType || t.PkgPath() == signerPath || strings.HasPrefix(t.PkgPath(), signerPath+"/")
}

const signerPath = "github.com/deployhook/deployhook/signer"

var unsignedType = reflect.TypeFor[unsigned]()

// contained is a Format whose faults are errors.
func contained(ctx context.Context, f Format, event *payload.Event) (string, []byte, error) {
	var (
		contentType string
		body        []byte
		err         error
	)
	if fault := contain.CallUntil(ctx, func() { contentType, body, err = f.Encode(ctx, event) }); fault != nil {
		return "", nil, fault
	}
	return contentType, body, err
}

// containedResolver contains the Dial function of a resolver, which package net
// calls on another goroutine.
func containedResolver(r *net.Resolver, faults *contain.Faults) *net.Resolver {
	if r.Dial == nil {
		return r
	}
	return &net.Resolver{PreferGo: r.PreferGo, StrictErrors: r.StrictErrors, Dial: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		fault := faults.Call(ctx, inResolver, func() { conn, err = r.Dial(ctx, network, address) })
		switch {
		case fault != nil:
			return nil, fmt.Errorf("the resolver's Dial function %w", fault)
		case err == nil && nilable.IsNil(conn):
			return nil, errors.New("the resolver's Dial function returned neither a connection nor an error")
		}
		return conn, err
	}}
}
