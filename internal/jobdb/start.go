package jobdb

import (
	"context"
	"strings"
	"time"
)

const (
	// startTries is the number of times that a start is tried. Each one takes at
	// least as long as River waits for its listener, which is five seconds.
	startTries = 10
	startPause = 200 * time.Millisecond
)

// Start starts River's client. On a busy machine River can give up waiting for
// its own listener, although nothing is wrong with the database. The start is
// then tried again, until ctx ends.
func (c *client[T]) Start(ctx context.Context) error {
	for try := 1; ; try++ {
		err := c.Client.Start(ctx)
		if !listenerIsSlow(err) || try == startTries {
			return err
		}
		pause := time.NewTimer(startPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// listenerIsSlow recognizes the error of River's notifier by its text. River
// exports no value for it.
func listenerIsSlow(err error) bool {
	return err != nil && strings.Contains(err.Error(), "timed out waiting for interrupt operation")
}
