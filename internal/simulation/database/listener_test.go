//go:build linux && (amd64 || arm64)

package database

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river/riverdriver"
)

// listenTimeout is how long River lets its listener take to connect.
const listenTimeout = 10 * time.Second

// lateListener connects and subscribes when River first waits for a
// notification, instead of at once.
//
// River holds a mutex while its own listener connects and subscribes, which
// waits for the only connection that writes. That connection may wait for a
// lock of SQLite or for a slow disk, so it needs the bubble's clock. The clock
// stands still while another goroutine waits for the mutex. River holds no
// mutex while it waits for a notification.
//
// River may miss what is inserted in between, as it does when it connects again
// after an error. It polls for such jobs.
type lateListener struct {
	riverdriver.Listener // of River's driver

	mu      sync.Mutex
	connect bool     // it must still connect
	topics  []string // to which it must still subscribe
}

// listenLate replaces the listener of an outbox or an inbox that has not
// started. Neither has an option for it.
func listenLate(product any) error {
	field := reflect.ValueOf(product).Elem()
	for _, name := range []string{"client", "Client", "notifier", "listener"} {
		for field.Kind() == reflect.Interface || field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		if field.Kind() != reflect.Struct {
			return errors.New("the client of River has no listener any more: " + name)
		}
		field = field.FieldByName(name)
	}
	if !field.IsValid() || field.Type() != reflect.TypeFor[riverdriver.Listener]() {
		return errors.New("the notifier of River has no listener any more")
	}
	listener := (*riverdriver.Listener)(field.Addr().UnsafePointer())
	*listener = &lateListener{Listener: *listener}
	return nil
}

func (l *lateListener) Connect(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connect, l.topics = true, nil
	return nil
}

func (l *lateListener) Listen(_ context.Context, topic string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.topics = append(l.topics, topic)
	return nil
}

func (l *lateListener) Unlisten(ctx context.Context, topic string) error {
	l.mu.Lock()
	connected := !l.connect
	l.topics = slices.DeleteFunc(l.topics, func(t string) bool { return t == topic })
	l.mu.Unlock()
	if !connected {
		return nil
	}
	return l.Listener.Unlisten(ctx, topic)
}

func (l *lateListener) Close(ctx context.Context) error {
	l.mu.Lock()
	l.connect, l.topics = false, nil
	l.mu.Unlock()
	return l.Listener.Close(ctx)
}

func (l *lateListener) Ping(ctx context.Context) error {
	if err := l.catchUp(ctx); err != nil {
		return err
	}
	return l.Listener.Ping(ctx)
}

func (l *lateListener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	if err := l.catchUp(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return l.Listener.WaitForNotification(ctx)
}

// catchUp does what Connect and Listen have put off.
func (l *lateListener) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	l.mu.Lock()
	connect := l.connect
	l.mu.Unlock()
	if connect {
		if err := l.Listener.Connect(ctx); err != nil {
			return err
		}
		l.mu.Lock()
		l.connect = false
		l.mu.Unlock()
	}
	for {
		l.mu.Lock()
		if len(l.topics) == 0 {
			l.mu.Unlock()
			return nil
		}
		topic := l.topics[0]
		l.mu.Unlock()
		if err := l.Listener.Listen(ctx, topic); err != nil {
			return err
		}
		l.mu.Lock()
		l.topics = slices.DeleteFunc(l.topics, func(t string) bool { return t == topic })
		l.mu.Unlock()
	}
}
