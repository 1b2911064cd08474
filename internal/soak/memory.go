package main

import (
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"time"
)

// memory is what a process occupies. Resident and Files are 0 on systems
// without /proc.
type memory struct {
	Heap       float64 `json:"heap"`     // bytes that live after a garbage collection
	Resident   float64 `json:"resident"` // bytes, also of SQLite
	Goroutines float64 `json:"goroutines"`
	Files      float64 `json:"files"` // open ones
}

// readMemory collects garbage first.
func readMemory() *memory {
	runtime.GC()
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/sched/goroutines:goroutines"}}
	metrics.Read(samples)
	m := &memory{Heap: float64(samples[0].Value.Uint64()), Goroutines: float64(samples[1].Value.Uint64())}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		m.Files = float64(len(files))
	}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			pages, _ := strconv.ParseFloat(fields[1], 64) // the kernel writes a number
			m.Resident = pages * float64(os.Getpagesize())
		}
	}
	return m
}

// series is a value that was measured again and again.
type series struct {
	times  []time.Time
	values []float64
}

func (s *series) add(at time.Time, value float64) {
	s.times, s.values = append(s.times, at), append(s.values, value)
}

// settled returns the series without its first third, in which caches fill.
func (s *series) settled() *series {
	n := len(s.times) / 3
	return &series{s.times[n:], s.values[n:]}
}

// span is the time from the first to the last value.
func (s *series) span() time.Duration {
	if len(s.times) == 0 {
		return 0
	}
	return s.times[len(s.times)-1].Sub(s.times[0])
}

// slope is the trend in units a minute. It is the median of the slopes between
// all pairs of values (Theil and Sen), which a short peak does not change.
func (s *series) slope() float64 {
	var slopes []float64
	for i := range s.times {
		for j := i + 1; j < len(s.times); j++ {
			if minutes := s.times[j].Sub(s.times[i]).Minutes(); minutes > 0 {
				slopes = append(slopes, (s.values[j]-s.values[i])/minutes)
			}
		}
	}
	return median(slopes)
}

// growth compares the median of the last third with that of the first.
func (s *series) growth() (first, last float64) {
	n := len(s.values) / 3
	return median(s.values[:n]), median(s.values[len(s.values)-n:])
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile returns 0 if there are no values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
