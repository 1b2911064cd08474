package outbox

import (
	"reflect"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/deployhook/deployhook/internal/contain/waits"
	"github.com/deployhook/deployhook/internal/timemath"
	"github.com/deployhook/deployhook/sender"
)

// nthWait returns the wait after the attempt that has n before it. elapsed is
// the time since the first of them began.
func nthWait(schedule sender.Schedule, n int, elapsed time.Duration) (wait time.Duration, more bool) {
	b := schedule()
	for range n + 1 {
		if wait = b.NextBackOff(); wait < 0 {
			return 0, false
		}
	}
	limit := maxElapsed(b)
	return wait, limit == 0 || timemath.Add(elapsed, wait) <= limit
}

// maxElapsed returns the MaxElapsedTime of an ExponentialBackOff, which may be
// inside other schedules. Zero means no limit. The schedule can't apply it,
// since it was made just now and measures the time since then.
func maxElapsed(b backoff.BackOff) time.Duration {
	if contained, ok := b.(*waits.BackOff); ok {
		b = contained.From()
	}
	return maxElapsedIn(reflect.ValueOf(b), maxNested)
}

// maxNested is how deep schedules are looked into. A schedule may refer to
// itself.
const maxNested = 16

var (
	backOffType  = reflect.TypeFor[backoff.BackOff]()
	durationType = reflect.TypeFor[time.Duration]()
)

func maxElapsedIn(v reflect.Value, depth int) (least time.Duration) {
	if depth == 0 {
		return 0
	}
	if v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		return maxElapsedIn(v.Elem(), depth-1)
	}
	if v.Kind() != reflect.Struct || !reflect.PointerTo(v.Type()).Implements(backOffType) {
		return 0
	}
	for field, in := range v.Fields() {
		var d time.Duration
		if field.Name == "MaxElapsedTime" && field.Type == durationType {
			d = time.Duration(in.Int())
		} else {
			d = maxElapsedIn(in, depth-1)
		}
		if d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}
