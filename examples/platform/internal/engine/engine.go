package engine

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// Config is what an Engine needs. Record, URL and Dir have no default.
type Config struct {
	// Dir is where built programs are kept.
	Dir string
	// URL returns where an app answers, for the events.
	URL func(app string) string
	// Record stores a deployment's new state and publishes the event that says so, both or neither. The event is nil when a
	// step has none. It is called for one step after the other of a deployment, and for several apps at a time.
	Record func(context.Context, Deployment, *payload.Event) error
	// Logger takes what the events do not say; default [slog.Default].
	Logger *slog.Logger
	// HealthTimeout is how long a new instance may take to become healthy; default 10 s.
	HealthTimeout time.Duration
	// CheckTimeout is how long one health check may take; default 2 s.
	CheckTimeout time.Duration
	// Watch is how long a version that went live is watched, with the one before kept ready; default 3 s.
	Watch time.Duration
	// DrainTimeout is how long requests may take that an old instance began; default 10 s.
	DrainTimeout time.Duration
}

// Engine deploys apps. It is safe for concurrent use. Close it.
type Engine struct {
	cfg       Config
	builder   *builder
	prober    prober
	transport *http.Transport

	ctx    context.Context // ends with Close; what runs belongs to the engine, not to the request that began it
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	apps      map[string]*app
	instances map[*instance]struct{}
}

// stopGrace is how long an instance may take to end after SIGTERM.
const stopGrace = 5 * time.Second

// errCancelled is why deployments end when the engine is closed.
var errCancelled = errors.New("the deployment was cancelled: the platform is stopping")

// New returns an engine, or an error if there is no Go toolchain.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Record == nil || cfg.URL == nil || cfg.Dir == "" {
		return nil, errors.New("engine: Config needs Record, URL and Dir")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	for field, standard := range map[*time.Duration]time.Duration{
		&cfg.HealthTimeout: 10 * time.Second, &cfg.Watch: 3 * time.Second, &cfg.DrainTimeout: 10 * time.Second,
		&cfg.CheckTimeout: 2 * time.Second,
	} {
		if *field <= 0 {
			*field = standard
		}
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	builder, err := newBuilder(ctx, dir)
	if err != nil {
		return nil, err
	}
	// Instances are on loopback whatever the environment says about proxies, and none of them is asked for long.
	transport := &http.Transport{
		DialContext:     (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		IdleConnTimeout: 10 * time.Second, MaxIdleConnsPerHost: 16, DisableCompression: true,
	}
	e := &Engine{
		cfg: cfg, builder: builder, prober: newProber(transport, cfg.CheckTimeout), transport: transport,
		apps: map[string]*app{}, instances: map[*instance]struct{}{},
	}
	e.ctx, e.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return e, nil
}

// Cancel cancels the deployments in progress and refuses further ones. What is live goes on until Close.
func (e *Engine) Cancel() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel(errCancelled)
}

// Close cancels the deployments in progress, waits until their events are recorded, and stops every instance. It returns when no process
// and no goroutine of the engine is left. Closing again does nothing. The error is always nil.
func (e *Engine) Close() error {
	e.Cancel()
	e.wg.Wait()
	var stopping sync.WaitGroup
	for i := range e.instances { // nobody else is left who would change it
		stopping.Go(func() { i.stop(stopGrace) })
	}
	stopping.Wait()
	e.transport.CloseIdleConnections()
	return nil
}

// begin counts in something that Close has to wait for.
func (e *Engine) begin() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	e.wg.Add(1)
	return nil
}

// app returns the app of that name, making it if need be.
func (e *Engine) app(name string) *app {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, ok := e.apps[name]
	if !ok {
		a = &app{}
		e.apps[name] = a
	}
	return a
}

// Live returns the version of an app that gets the traffic, or an empty text.
func (e *Engine) Live(name string) string {
	if a := e.existing(name); a != nil {
		return a.liveVersion()
	}
	return ""
}

func (e *Engine) existing(name string) *app {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.apps[name]
}

// launch starts an instance and waits until it is healthy. One that does not get there is stopped.
func (e *Engine) launch(ctx context.Context, d Deployment, b built, limit time.Duration) (*instance, health, error) {
	i, err := startInstance(ctx, b.path, d)
	if err != nil {
		return nil, health{}, err
	}
	e.mu.Lock()
	e.instances[i] = struct{}{}
	e.mu.Unlock()
	h, err := e.prober.await(ctx, i, limit)
	if err != nil {
		e.stop(i)
		return nil, h, err
	}
	return i, h, nil
}

// stop ends an instance that has no traffic any more.
func (e *Engine) stop(i *instance) {
	i.stop(stopGrace)
	e.mu.Lock()
	delete(e.instances, i)
	e.mu.Unlock()
}

// drain lets an instance finish what it began, then ends it.
func (e *Engine) drain(i *instance) {
	i.drain(e.ctx, e.cfg.DrainTimeout)
	e.stop(i)
}

const (
	recordTimeout  = 20 * time.Second
	recordAttempts = 4
)

// record hands a step on, although the engine may be closing, and again if that fails: a deployment goes on when the database is
// away for a moment.
func (e *Engine) record(d *Deployment, event *payload.Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), recordTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := e.cfg.Record(ctx, *d, event)
		if err == nil {
			return
		}
		e.cfg.Logger.Error("a step was not recorded", "app", d.App, "deployment", d.ID, "step", d.Step, "status", d.Status, "attempt", attempt, "error", err)
		if attempt == recordAttempts {
			return
		}
		wait := time.NewTimer(time.Duration(attempt) * 300 * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
	}
}
