package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// An event is published, its first attempt fails, the second brings it to an
// inbox, and a handler does its work there.
func TestTrace_EndToEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.failures.Store(1)
	done := make(chan struct{})
	w.handled(func(ctx context.Context, _ *payload.Event) error {
		_, span := w.tracers.Tracer("application").Start(ctx, "work")
		span.End()
		close(done)
		return nil
	})
	w.subscribe("/inbox")
	ctx, deploy := w.tracers.Tracer("application").Start(t.Context(), "deploy")
	w.publish(ctx, payload.DeployLive)
	deploy.End()
	<-done
	require.NoError(t, w.outbox.Stop(t.Context()))
	require.NoError(t, w.inbox.Stop(t.Context()))
	w.received.Close()

	spans := map[string][]tracetest.SpanStub{}
	for _, s := range w.spans.GetSpans() {
		spans[s.Name] = append(spans[s.Name], s)
	}
	require.Len(t, spans, 6)
	publish, attempts := only(t, spans["publish deploy.live"]), spans["attempt deploy.live"]
	receive, process, work := only(t, spans["receive platform"]), only(t, spans["process platform"]), only(t, spans["work"])

	isChild(t, publish, only(t, spans["deploy"]))
	require.Len(t, attempts, 2)
	for i, a := range attempts {
		require.False(t, a.Parent.IsValid(), "an attempt begins a trace")
		require.Len(t, a.Links, 1)
		require.Equal(t, publish.SpanContext.TraceID(), a.Links[0].SpanContext.TraceID())
		require.Equal(t, publish.SpanContext.SpanID(), a.Links[0].SpanContext.SpanID())
		require.Equal(t, []codes.Code{codes.Error, codes.Unset}[i], a.Status.Code)
	}
	require.NotEqual(t, attempts[0].SpanContext.TraceID(), attempts[1].SpanContext.TraceID())
	isChild(t, receive, attempts[1])
	isChild(t, process, receive)
	isChild(t, work, process)
	delivered, err := w.inbox.List(t.Context(), inbox.Filter{State: inbox.Handled}, inbox.Page{})
	require.NoError(t, err)
	require.Len(t, delivered.Items, 1)
}

func only(t *testing.T, spans []tracetest.SpanStub) tracetest.SpanStub {
	t.Helper()
	require.Len(t, spans, 1)
	return spans[0]
}

func isChild(t *testing.T, child, parent tracetest.SpanStub) {
	t.Helper()
	require.Equal(t, parent.SpanContext.TraceID(), child.SpanContext.TraceID(), "%s and %s", child.Name, parent.Name)
	require.Equal(t, parent.SpanContext.SpanID(), child.Parent.SpanID(), "%s and %s", child.Name, parent.Name)
}
