package receiver

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

type ctxKey struct{}

// A lazy context must behave like the standard library's, whether first used
// before or after its end.
func TestLazyContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("lease lost")
	for name, look := range map[string]func(*lazyContext){
		"never looked at": func(*lazyContext) {},
		"looked at":       func(c *lazyContext) { c.Done() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &Delivery{ID: "whk_1"}
				parent, cancel := context.WithCancel(context.WithValue(t.Context(), ctxKey{}, "value"))
				defer cancel()

				c := &lazyContext{parent: parent, delivery: d}
				look(c)
				require.NoError(t, c.Err())
				c.end(cause)
				c.end(errors.New("a second end"))
				require.Equal(t, context.Canceled, c.Err())
				<-c.Done()
				require.Equal(t, cause, context.Cause(c))

				c = &lazyContext{parent: parent, delivery: d}
				look(c)
				require.Equal(t, "value", c.Value(ctxKey{}))
				got, ok := FromContext(c)
				require.True(t, ok)
				require.Same(t, d, got)
				got, ok = FromContext(context.WithValue(c, ctxKey{}, 1))
				require.True(t, ok)
				require.Same(t, d, got)
				_, ok = c.Deadline()
				require.False(t, ok)

				rc := &Receiver{config: config{storeTimeout: time.Minute}}
				call := rc.storeContext(parent, time.Now())
				look(call)
				deadline, ok := call.Deadline()
				require.True(t, ok)
				require.Equal(t, time.Minute, time.Until(deadline))

				cancel()
				require.Equal(t, context.Canceled, c.Err(), "it ends with its parent")
				<-c.Done()
				child, stop := context.WithCancel(c)
				defer stop()
				require.Equal(t, context.Canceled, child.Err())

				require.NoError(t, call.Err(), "a store's call does not end with the request")
				require.Equal(t, "value", call.Value(ctxKey{}))
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Equal(t, context.DeadlineExceeded, call.Err())
				<-call.Done()
				call.end(nil)
			})
		})
	}
}
