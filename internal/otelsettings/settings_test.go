package otelsettings_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/internal/otelsettings"
	"github.com/deployhook/deployhook/payload"
)

type option func(*otelsettings.Settings)

func TestNew_ReportsAllMistakes(t *testing.T) {
	t.Parallel()
	_, err := otelsettings.New([]option{
		nil,
		func(s *otelsettings.Settings) { s.SetMeters(nil) },
		func(s *otelsettings.Settings) { s.SetTracers(nil) },
		func(s *otelsettings.Settings) { s.SetPropagator(nil) },
		func(s *otelsettings.Settings) { otelsettings.Declare[payload.Type](s, nil) },
		func(s *otelsettings.Settings) { otelsettings.Declare(s, []payload.Type{""}) },
	})
	for _, text := range []string{
		"a nil Option was given", "WithMeterProvider: the provider is nil", "WithTracerProvider: the provider is nil",
		"WithPropagator: the propagator is nil", "WithEventTypes: names no type", "WithEventTypes: a type is empty",
	} {
		require.ErrorContains(t, err, text)
	}
}

// Types of this repository and declared ones are labels. All others share one.
func TestType_IsBounded(t *testing.T) {
	t.Parallel()
	s, err := otelsettings.New([]option{func(s *otelsettings.Settings) { otelsettings.Declare(s, []payload.Type{"own.type"}) }})
	require.NoError(t, err)
	for _, typ := range []payload.Type{
		payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive, payload.DeployFailed, payload.DeployRolledBack,
		"endpoint.failing", "endpoint.disabling", "endpoint.recovered", "endpoint.disabled", "webhook.test", "own.type",
	} {
		require.Equal(t, string(typ), s.Type(string(typ)))
		require.Equal(t, "publish "+string(typ), s.Names("publish").Of(string(typ)))
	}
	require.Equal(t, "other", s.Type("invented.by.customer"))
	require.Equal(t, "publish other", s.Names("publish").Of("invented.by.customer"))
}

func TestTrace_IsContinued(t *testing.T) {
	t.Parallel()
	const text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := otelsettings.Continue(t.Context(), text)
	require.Equal(t, "b7ad6b7169203331", trace.SpanContextFromContext(ctx).SpanID().String())
	require.Equal(t, text, otelsettings.Trace(ctx))
	link, ok := otelsettings.Link(text)
	require.True(t, ok)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", link.SpanContext.TraceID().String())

	require.Empty(t, otelsettings.Trace(context.Background()))
	_, ok = otelsettings.Link("no trace")
	require.False(t, ok)
}
