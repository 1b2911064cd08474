package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/loglimit"
	"github.com/deployhook/deployhook/internal/nilable"
)

// Keys of the map that [Service.Faults] returns. The logger has its option's
// name.
const (
	inCheck     = "WithCheck"
	inTelemetry = "WithTelemetry"
)

// idleTimeout is how long a connection may wait for its next request.
const idleTimeout = 2 * time.Minute

// Service is an HTTP server with health endpoints. Make it with [New] and start
// it with [Service.Run]. It is safe for concurrent use.
type Service struct {
	config
	handler http.Handler
	health  *health
	faults  *contain.Faults
	server  *http.Server
	conns   conns
	// telemetry is nil without WithTelemetry.
	telemetry io.Closer

	end      context.CancelFunc // ends the checks
	run      sync.Once
	stopping atomic.Bool // the drain time has begun
	closing  atomic.Bool // the drain time has ended
}

// New returns a service that passes requests to h, except those for the health
// paths. It reports all configuration errors at once, and they wrap
// [ErrConfig].
func New(h http.Handler, opts ...Option) (*Service, error) {
	c, err := newConfig(opts)
	if nilable.IsNil(h) {
		err = errors.Join(err, configError("the handler is nil; pass one, such as an http.ServeMux"))
	}
	if err != nil {
		return nil, err
	}
	s := &Service{handler: h, faults: contain.New("service", c.logger.Handler())}
	c.logger = s.faults.Logger()
	ending, end := context.WithCancel(context.Background())
	s.config, s.end, s.health = *c, end, newHealth(ending, c, s.faults)
	limited := loglimit.Default().OneKind(c.logger.Handler())
	s.server = &http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: c.headerTimeout, ReadTimeout: c.readTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(limited, slog.LevelWarn), ConnContext: s.conns.context, ConnState: s.conns.changed,
	}
	if err := s.startTelemetry(); err != nil {
		return nil, err
	}
	return s, nil
}

// Signals returns a context that ends with the first SIGTERM or interrupt. A
// second signal then ends the process at once. stop releases the signals.
func Signals(parent context.Context) (ctx context.Context, stop context.CancelFunc) {
	signals, release := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(parent)
	unhook := context.AfterFunc(signals, func() {
		release() // first, so that the next signal has its default effect
		cancel()
	})
	return ctx, func() {
		unhook()
		release()
		cancel()
	}
}

// Ready runs the checks, or returns the result of the last 5 seconds. The error
// is for the operator. It wraps [ErrStopping] after the stop has begun.
func (s *Service) Ready(ctx context.Context) error {
	switch {
	case s == nil || s.server == nil:
		return errNotMade
	case s.stopping.Load():
		return ErrStopping
	}
	return s.health.ready(ctx)
}

// Faults returns how often a check, the telemetry or the logger panicked, ended
// its goroutine, or did not return in time. The keys are the names of the
// options.
func (s *Service) Faults() map[string]uint64 {
	if s == nil || s.server == nil {
		return map[string]uint64{}
	}
	return s.faults.Counts()
}

var errNotMade = fmt.Errorf("%w: the Service is nil or zero; make it with New and check its error", ErrConfig)

// errAborted is the error of Run if handlers were aborted.
var errAborted = errors.New("service: handlers were aborted at the end of WithStopTimeout; their senders retry")

// Run serves connections of l until ctx ends, and then stops as the package
// documentation describes. It closes l. It returns nil if all handlers ended by
// themselves. A service runs once.
func (s *Service) Run(ctx context.Context, l net.Listener) error {
	if s == nil || s.server == nil {
		return errNotMade
	}
	err := errors.New("service: Run: a service runs only once; make another one with New")
	s.run.Do(func() { err = s.runOnce(ctx, l) })
	return err
}

func (s *Service) runOnce(ctx context.Context, l net.Listener) error {
	defer s.closeTelemetry()
	defer s.end()
	failed := make(chan error, 1)
	go func() { failed <- s.server.Serve(l) }()
	select {
	case err := <-failed:
		s.stopping.Store(true)
		return errors.Join(fmt.Errorf("service: the listener failed: %w", err), s.server.Close())
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	s.logger.Info("service: stopping", slog.Duration("drain", s.drain))
	drained := time.NewTimer(s.drain)
	defer drained.Stop()
	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("service: the listener failed: %w", err), s.stop(ctx))
	case <-drained.C:
	}
	err := s.stop(ctx)
	<-failed
	return err
}

// stop closes the listener, refuses what is still arriving, and waits for the
// handlers.
func (s *Service) stop(ctx context.Context) error {
	s.closing.Store(true)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.stopTimeout)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.server.Shutdown(ctx) }()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for round := 0; ; round++ {
		s.conns.sweep(round)
		select {
		case <-sweep.C:
			continue
		case err := <-ended:
			if err == nil {
				s.logger.Info("service: stopped")
				return nil
			}
			// Closing an aborted connection may fail, which changes nothing.
			_ = s.server.Close()
			return errAborted
		}
	}
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
	c := connOf(r)
	if c != nil {
		c.busy.Store(true)
		c.handlers.Add(1)
		defer c.handlers.Add(-1)
	}
	if s.stopping.Load() && r.ProtoMajor == 1 {
		// The client opens its next connection to another process.
		w.Header().Set("Connection", "close")
	}
	switch r.URL.Path {
	case s.live:
		answer(w, http.StatusOK, "live")
		return
	case s.ready:
		s.serveReady(w, r)
		return
	}
	if c != nil && r.Body != nil && r.Body != http.NoBody {
		b := &body{ReadCloser: r.Body, closing: &s.closing, control: http.NewResponseController(w), http1: r.ProtoMajor == 1}
		c.add(b)
		defer c.remove(b)
		r.Body = b
	}
	s.handler.ServeHTTP(w, r)
}
