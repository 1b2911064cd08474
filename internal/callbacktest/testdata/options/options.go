package options

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
)

type Option interface{ apply() }

type (
	hook  func()
	asked interface{ Ask() }
	plain struct{}
)

func WithFunc(f func(context.Context)) Option        { return nil }
func WithFuncType(h hook) Option                     { return nil }
func WithInterface(i interface{ Ask() }) Option      { return nil }
func WithInterfaceType(name string, a asked) Option  { return nil }
func WithAny(v any) Option                           { return nil }
func WithLogger(l *slog.Logger) Option               { return nil }
func WithStore(s dedupe.Store, source string) Option { return nil }
func WithHandlers(all ...http.Handler) Option        { return nil }

func WithSealed(o Option) Option                  { return nil }
func WithDuration(d time.Duration) Option         { return nil }
func WithType(types ...payload.Type) Option       { return nil }
func WithPlain(p *plain, m map[string]int) Option { return nil }
func withHook(h hook) Option                      { return nil }
func OtherName(h hook) Option                     { return nil }
func (plain) WithMethod(h hook) Option            { return nil }
