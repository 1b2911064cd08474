package peers_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkSendInTurns lets the clients send a few hundred events each, in
// turns, so that other load on the machine affects all of them. It reports
// ratios of processor time and wall time to those of the bare client, as
// medians of the turns. Each op is one turn of each client. With at least 50
// turns (-benchtime 100x) the ratios are steady to one percent, unlike those of
// BenchmarkSend.
func BenchmarkSendInTurns(b *testing.B) {
	url := serve(b)
	for _, goroutines := range []int{1, 64} {
		b.Run("goroutines="+strconv.Itoa(goroutines), func(b *testing.B) {
			const sends = 1024
			sending := make([]func(context.Context) error, len(clients))
			cpu, wall := make([][]float64, len(clients)), make([][]float64, len(clients))
			for i, c := range clients {
				sending[i] = c.make(b, url)
				turn(b, sending[i], goroutines, sends) // connects
			}
			for n := 0; b.Loop(); n++ {
				for k := range clients {
					i := (k + n) % len(clients) // nobody is always the one after the slowest
					c, w := turn(b, sending[i], goroutines, sends)
					cpu[i], wall[i] = append(cpu[i], c.Seconds()), append(wall[i], w.Seconds())
				}
			}
			for i, c := range clients {
				b.ReportMetric(median(ratios(cpu[i], cpu[0])), "cpu:"+c.name)
				b.ReportMetric(median(ratios(wall[i], wall[0])), "wall:"+c.name)
			}
		})
	}
}

func turn(b *testing.B, send func(context.Context) error, goroutines, sends int) (cpu, wall time.Duration) {
	var left atomic.Int64
	left.Store(int64(sends))
	var wg sync.WaitGroup
	c, w := cpuTime(), time.Now()
	for range goroutines {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := send(context.Background()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return cpuTime() - c, time.Since(w)
}

func ratios(of, to []float64) []float64 {
	r := make([]float64, len(of))
	for i := range of {
		r[i] = of[i] / to[i]
	}
	return r
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
