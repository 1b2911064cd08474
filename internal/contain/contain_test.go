package contain_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/contain"
)

func TestCall(t *testing.T) {
	t.Parallel()
	ran := false
	require.Nil(t, contain.Call(func() { ran = true }))
	require.True(t, ran)

	fault := contain.Call(func() { panic("boom") })
	require.EqualError(t, fault, "panicked: boom")
	require.Contains(t, string(fault.Stack), "TestCall")
	require.ErrorIs(t, contain.Call(func() { panic(io.EOF) }), io.EOF)
	require.ErrorContains(t, contain.Call(func() { panic(nil) }), "panicked: panic called with nil argument") //nolint:govet // what is tested
	require.EqualError(t, contain.Call(runtime.Goexit), "ended its goroutine")
	require.Len(t, contain.Call(func() { panic(strings.Repeat("x", 10_000)) }).Error(), len("panicked: ")+500)
}

func TestCallUntil_StopsWaitingForHangingCallback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		hang := make(chan struct{})
		require.EqualError(t, contain.CallUntil(ctx, func() { <-hang }), "did not return in time")
		close(hang)
		require.Nil(t, contain.CallUntil(t.Context(), func() {}))
		require.EqualError(t, contain.CallUntil(t.Context(), runtime.Goexit), "ended its goroutine")
	})
}

func TestInline_DefersRunAfterGoexit(t *testing.T) {
	t.Parallel()
	f := contain.New("test", nil)
	require.Nil(t, f.Inline(t.Context(), "fine", func() {}))
	require.EqualError(t, f.Inline(t.Context(), "panics", func() { panic(1) }), "panicked: 1")
	left := false
	require.NotNil(t, contain.Call(func() {
		defer func() { left = true }()
		f.Inline(t.Context(), "exits", runtime.Goexit)
	}))
	require.True(t, left)
	require.Equal(t, map[string]uint64{"panics": 1, "exits": 1}, f.Counts())
}

// A loop continues after a panic and after the end of its goroutine, and many
// faults give one line a minute.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		f := contain.New("test", slog.NewTextHandler(&out, nil))
		ctx, cancel := context.WithCancel(t.Context())
		rounds := 0
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			f.Run(ctx, "loop", func(context.Context) {
				if rounds++; rounds%2 == 0 {
					runtime.Goexit()
				}
				panic("again")
			})
		}()
		time.Sleep(150*time.Second + time.Millisecond)
		cancel()
		<-ended
		require.Equal(t, 151, rounds, "one a second")
		require.Equal(t, map[string]uint64{"loop": 151}, f.Counts())
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.Len(t, lines, 3, "at 0, 60 and 120 s")
		require.Contains(t, lines[0], `level=ERROR msg="test: contained a fault" in=loop fault="panicked: again" left_out=0 stack=`)
		require.Contains(t, lines[1], "left_out=59")

		f.Run(t.Context(), "returns", func(context.Context) { rounds = 0 })
		require.Zero(t, rounds)
	})
}

// bad is an application's log handler with a fault in the named method.
type bad struct {
	method string
	fault  func()
}

func (b bad) do(method string) {
	if b.method == method {
		b.fault()
	}
}

func (b bad) Enabled(context.Context, slog.Level) bool  { b.do("Enabled"); return true }
func (b bad) Handle(context.Context, slog.Record) error { b.do("Handle"); return nil }
func (b bad) WithAttrs([]slog.Attr) slog.Handler        { b.do("WithAttrs"); return b }
func (b bad) WithGroup(string) slog.Handler             { b.do("WithGroup"); return b }

func TestLogger_ContainsItsHandler(t *testing.T) {
	t.Parallel()
	faults := map[string]func(){"panic": func() { panic("boom") }, "exit": runtime.Goexit}
	for _, method := range []string{"Enabled", "Handle", "WithAttrs", "WithGroup"} {
		for name, fault := range faults {
			f := contain.New("test", bad{method, fault})
			use := func(l *slog.Logger) {
				l.Error("x")
				l.With("a", 1).WithGroup("g").Error("y")
			}
			use(f.Logger())
			require.NotZero(t, f.Counts()[contain.LoggerName], "%s %s", method, name)
			exited := contain.Call(func() { use(f.InlineLogger()) })
			require.Equal(t, name == "exit", exited != nil, "%s %s", method, name)

			f.Report(t.Context(), "other", &contain.Fault{})
			require.Equal(t, uint64(1), f.Counts()["other"], "a handler with a fault does not stop the count")
		}
	}
}

func TestLogger_PassesLinesOn(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f := contain.New("test", slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	l := f.Logger().With("a", 1).WithGroup("g")
	l.Info("not this")
	l.Warn("this", "b", 2)
	require.Contains(t, out.String(), `level=WARN msg=this a=1 g.b=2`)
	require.NotContains(t, out.String(), "not this")
	require.False(t, contain.New("test", nil).Logger().Enabled(t.Context(), slog.LevelError))

	failing := contain.New("test", failingHandler{})
	require.ErrorIs(t, failing.Logger().Handler().Handle(t.Context(), slog.Record{}), errFull)
	require.Empty(t, failing.Counts(), "an error is no fault")
}

var errFull = errors.New("disk full")

type failingHandler struct{ slog.Handler }

func (failingHandler) Handle(context.Context, slog.Record) error { return errFull }

func TestFaults_Concurrently(t *testing.T) {
	t.Parallel()
	f := contain.New("test", nil)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			f.Call(t.Context(), "a", func() { panic(1) })
			f.Inline(t.Context(), "b", func() { panic(1) })
			f.Counts()
		})
	}
	wg.Wait()
	require.Equal(t, map[string]uint64{"a": 100, "b": 100}, f.Counts())
}

func TestInline_AllocatesNothing(t *testing.T) {
	f := contain.New("test", nil)
	n := 0
	require.Zero(t, testing.AllocsPerRun(100, func() {
		f.Inline(context.Background(), "a", func() { n++ })
	}))
}
