package sqldb

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// WhileBusy repeats f while it fails because a SQLite file is locked, until ctx
// ends. SQLite itself ignores contexts while it waits for a lock.
func WhileBusy(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil || !isLocked(err) {
			return err
		}
		pause := time.NewTimer(time.Millisecond + rand.N(3*time.Millisecond))
		select {
		case <-ctx.Done():
			pause.Stop()
			return errors.Join(ctx.Err(), err)
		case <-pause.C:
		}
	}
}
