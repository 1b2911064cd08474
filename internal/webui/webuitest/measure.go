package webuitest

import (
	"net/http"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
)

// maxPage bounds the HTML of a page, in bytes.
const maxPage = 100 << 10

// Measure opens a page a number of times, and once before to fill caches. It
// logs the median, the 99th percentile and the length, and returns the 99th
// percentile. The test fails if a page is refused or longer than 100 KiB.
func (v *Visitor) Measure(path string, reads int) time.Duration {
	v.t.Helper()
	var took []time.Duration
	largest := 0
	for i := range reads + 1 {
		begun := time.Now()
		answer, text := v.send(http.MethodGet, v.url+path, "")
		require.Less(v.t, answer.StatusCode, 400, "%s: %s", path, text)
		require.LessOrEqual(v.t, len(text), maxPage, path)
		largest = max(largest, len(text))
		if i > 0 {
			took = append(took, time.Since(begun))
		}
	}
	slices.Sort(took)
	most := took[len(took)-1-len(took)/100]
	v.t.Logf("%8.1f ms half, %8.1f ms p99, %3d KiB  %s", ms(took[len(took)/2]), ms(most), largest>>10, path)
	return most
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }
