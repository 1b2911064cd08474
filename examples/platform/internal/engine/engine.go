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

// Config configures an Engine. Record, URL and Dir are required.
type Config struct {
	// Dir is the folder of built programs.
	Dir string
	// URL returns an app's URL for the events.
	URL func(app string) string
	// Record stores a deployment's new state and publishes its event in one
	// transaction. The event is nil if a step has none. Record is called for
	// one step of a deployment after the other, but for several apps at the
	// same time.
	Record func(context.Context, Deployment, *payload.Event) error
	// Logger logs what the events do not report. Default: [slog.Default].
	Logger *slog.Logger
	// HealthTimeout is how long a new instance may take to become healthy.
	// Default: 10 s.
	HealthTimeout time.Duration
	// CheckTimeout is how long one health check may take. Default: 2 s.
	CheckTimeout time.Duration
	// Watch is how long a live version is watched while the previous one is
	// kept running. Default: 3 s.
	Watch time.Duration
	// DrainTimeout is how long an old instance may take to finish its requests.
	// Default: 10 s.
	DrainTimeout time.Duration
}

// Engine deploys apps. It is safe for concurrent use. Call Close after use.
type Engine struct {
	cfg       Config
	builder   *builder
	prober    prober
	transport *http.Transport

	// ends with Close, because deployments outlive the requests that started
	// them
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	apps      map[string]*app
	instances map[*instance]struct{}
}

// stopGrace is how long an instance may take to end after SIGTERM.
const stopGrace = 5 * time.Second

// errCancelled is the error of deployments that are running when the engine is
// closed.
var errCancelled = errors.New("the deployment was cancelled: the platform is stopping")

// New returns an engine. It returns an error if there is no Go toolchain.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Record == nil || cfg.URL == nil || cfg.Dir == "" {
		return nil, errors.New("engine: set Record, URL and Dir of Config")
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
	// Instances are on loopback, so the environment's proxy is not used.
	// Requests to them are short.
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

// Cancel cancels running deployments and refuses new ones. Live apps continue
// until Close.
func (e *Engine) Cancel() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel(errCancelled)
}

// Close cancels running deployments, waits until their events are recorded, and
// stops all instances. When it returns, the engine has no process and no
// goroutine. Closing again does nothing. The error is always nil.
func (e *Engine) Close() error {
	e.Cancel()
	e.wg.Wait()
	var stopping sync.WaitGroup
	for i := range e.instances { // no goroutine can change it now
		stopping.Go(func() { i.stop(stopGrace) })
	}
	stopping.Wait()
	e.transport.CloseIdleConnections()
	return nil
}

// begin counts an operation that Close must wait for.
func (e *Engine) begin() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	e.wg.Add(1)
	return nil
}

// app returns the app with that name. It creates it if it is missing.
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

// Live returns the live version of an app, or "".
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

// launch starts an instance and waits until it is healthy. It stops an instance
// that does not become healthy.
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

// stop ends an instance that has no traffic.
func (e *Engine) stop(i *instance) {
	i.stop(stopGrace)
	e.mu.Lock()
	delete(e.instances, i)
	e.mu.Unlock()
}

// drain waits for an instance's requests and then ends it.
func (e *Engine) drain(i *instance) {
	i.drain(e.ctx, e.cfg.DrainTimeout)
	e.stop(i)
}

const (
	recordTimeout  = 20 * time.Second
	recordAttempts = 4
)

// record calls Record, even while the engine is closing. It retries errors,
// because a deployment continues while the database is down for a moment.
func (e *Engine) record(d *Deployment, event *payload.Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), recordTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := e.cfg.Record(ctx, *d, event)
		if err == nil {
			return
		}
		e.cfg.Logger.Error("a step could not be recorded", "app", d.App, "deployment", d.ID, "step", d.Step, "status", d.Status, "attempt", attempt, "error", err)
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
