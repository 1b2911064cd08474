package otelsender_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/otelsender"
)

// A delivery has its result, even if a provider or a propagator panics. One
// that ends its goroutine ends the caller's.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	cases := map[string]func(t *testing.T, f *callbacktest.Fault){}
	for name, opt := range map[string]func(f *callbacktest.Fault) otelsender.Option{
		"WithMeterProvider": func(f *callbacktest.Fault) otelsender.Option {
			return otelsender.WithMeterProvider(badMeters{fault: f.Happen})
		},
		"WithTracerProvider": func(f *callbacktest.Fault) otelsender.Option {
			return otelsender.WithTracerProvider(badTracers{fault: f.Happen})
		},
		"WithPropagator": func(f *callbacktest.Fault) otelsender.Option {
			return otelsender.WithPropagator(badPropagator{fault: f.Happen})
		},
	} {
		cases[name] = func(t *testing.T, f *callbacktest.Fault) {
			s := newSender(t, opt(f))
			server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			t.Cleanup(server.Close)
			ep := sender.Endpoint{URL: sender.NewURL(server.URL), Signer: sender.InsecureUnsigned()}
			send := func() error {
				_, err := s.Send(t.Context(), ep, event(payload.DeployLive))
				return err
			}
			if f.Kind == callbacktest.Exits { // it runs on the caller's goroutine
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_ = send() // does not return
				}()
				<-ended
			} else {
				require.NoError(t, callbacktest.Outlives(t, f, send))
			}
			require.Equal(t, f.Kind != callbacktest.Hangs, s.Faults()["WithTelemetry"] > 0)
		}
	}
	callbacktest.Run(t, ".", cases)
}

type badMeters struct {
	noopmetric.MeterProvider
	fault func()
}

func (p badMeters) Meter(string, ...metric.MeterOption) metric.Meter { return badMeter{fault: p.fault} }

type badMeter struct {
	noopmetric.Meter
	fault func()
}

func (m badMeter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return badCounter{fault: m.fault}, nil
}

type badCounter struct {
	noopmetric.Int64Counter
	fault func()
}

func (c badCounter) Add(context.Context, int64, ...metric.AddOption) { c.fault() }

type badTracers struct {
	nooptrace.TracerProvider
	fault func()
}

func (p badTracers) Tracer(string, ...trace.TracerOption) trace.Tracer {
	return badTracer{fault: p.fault}
}

type badTracer struct {
	nooptrace.Tracer
	fault func()
}

func (b badTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	b.fault()
	return b.Tracer.Start(ctx, name, opts...)
}

type badPropagator struct {
	propagation.TraceContext
	fault func()
}

func (p badPropagator) Inject(context.Context, propagation.TextMapCarrier) { p.fault() }
