package redisdedupe

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/deployhook/deployhook/internal/loglimit"
)

// ClientLogger writes what go-redis reports to a logger, as warnings. Make it
// with [NewClientLogger].
type ClientLogger struct {
	logger *slog.Logger
}

// NewClientLogger returns a logger for redis.SetLogger. Without it go-redis
// writes to standard error:
//
//	redis.SetLogger(redisdedupe.NewClientLogger(slog.Default()))
//
// It writes at most 20 lines at once and then one every 5 seconds, with the
// number of lines that it left out. The setting is for all clients of the
// process, so only a program's main function should change it. A nil logger
// stands for [slog.Default].
func NewClientLogger(l *slog.Logger) *ClientLogger {
	if l == nil {
		l = slog.Default()
	}
	return &ClientLogger{slog.New(loglimit.Default().Handler(l.Handler()))}
}

// Printf is what go-redis calls.
func (c *ClientLogger) Printf(ctx context.Context, format string, args ...any) {
	c.logger.WarnContext(ctx, "redis: the client reports a problem", slog.String("error", fmt.Sprintf(format, args...)))
}
