// Package sample is mutated by the test of this command.
package sample

const limit = 10

var prices = map[string][2]int{"a": {3, 4}}

// Price returns a price. No test tries the second one.
func Price(name string, nth int) int { return prices[name][nth] }

// Over reports whether n is over the limit. No test tries the limit itself.
func Over(n int) bool { return n > limit }

// Sum adds numbers up.
func Sum(all ...int) (sum int) {
	for _, n := range all {
		sum += n
	}
	return sum
}

// Index finds a number. It would never end with i++ removed.
func Index(all []int, n int) int {
	i := 0
	for i < len(all) {
		if all[i] == n {
			return i
		}
		i++
	}
	return -1
}

// Unused is in no test.
func Unused(_ string, b bool) bool { return !b }

// Join has a hint about its capacity, which changes no result.
func Join[T any](a, b []T) []T {
	joined := make([]T, 0, len(a)+len(b))
	joined = append(joined, a...)
	return append(joined, b...)
}
