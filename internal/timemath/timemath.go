// Package timemath calculates with times and durations without overflow.
//
// Clock readings can be out of order, because other machines write some of
// them, and durations can come from an application or a remote system. A result
// that does not fit is replaced by the nearest value that does. No caller then
// shifts by a negative count, draws a random number below zero or waits for the
// past.
package timemath

import (
	"math"
	"math/bits"
	"time"
)

const longest = time.Duration(math.MaxInt64)

// Elapsed returns the time from one reading to a later one. It is zero if the
// readings are out of order.
func Elapsed(from, to time.Time) time.Duration { return max(to.Sub(from), 0) }

// Add returns the sum of two durations. Negative ones count as zero.
func Add(a, b time.Duration) time.Duration {
	a, b = max(a, 0), max(b, 0)
	if a > longest-b {
		return longest
	}
	return a + b
}

// Times returns n times d. A negative n or d counts as zero.
func Times(d time.Duration, n int) time.Duration {
	high, low := bits.Mul64(uint64(max(d, 0)), uint64(max(n, 0)))
	if high != 0 || low > math.MaxInt64 {
		return longest
	}
	return time.Duration(low)
}
