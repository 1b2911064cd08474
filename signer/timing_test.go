package signer_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// BenchmarkTimingFirstVersusLastByte reports whether a signature that is wrong
// in its first byte can be told from one that is wrong in its last by how long
// the refusal takes. A million tries of each, which is what to judge by:
//
//	go test ./signer -run '^$' -bench TimingFirstVersusLastByte -benchtime 1000000x
//
// It is a report and never fails: a busy machine moves the figures. |t| of
// Welch's test below 4.5 is the usual reading of "can't be told apart"; the row
// "last vs last" shows how far t strays where there is nothing to tell.
func BenchmarkTimingFirstVersusLastByte(b *testing.B) {
	body := []byte(specBody)
	for _, c := range timingCases(b) {
		b.Run(c.name, func(b *testing.B) {
			rows := []timingRow{
				c.measure(b, "first vs last", 0, -1, body),
				c.measure(b, "last vs last", -1, -1, body),
			}
			b.ReportMetric(rows[0].a.median-rows[0].b.median, "median-diff-ns")
			b.ReportMetric(rows[0].t, "welch-t")
			if b.N > 1 {
				b.Log(timingTable(b.N, rows))
			}
		})
	}
}

type timingCase struct {
	name     string
	verifier signer.Verifier
	signer   signer.Signer
	header   string
	// wrong changes one byte of what the header's value encodes. The index -1 is
	// the last byte.
	wrong func(value string, at int) string
}

func timingCases(b *testing.B) []timingCase {
	std := standard(b, secret(b, specSecret), signer.WithoutDiagnosis())
	hexes := timestamped(b, literalSecret(b, literal), signer.WithoutDiagnosis())
	cases := []timingCase{
		{"Standard", std, std, "Webhook-Signature", wrongMAC("v1,", base64.StdEncoding.DecodeString, base64.StdEncoding.EncodeToString)},
		{"Timestamped", hexes, hexes, "X-Webhook-Signature", wrongMAC("", hex.DecodeString, hex.EncodeToString)},
	}
	for _, s := range everyScheme(b) {
		switch s.name {
		case "github":
			quiet := must[*signer.BodyOnly](b)(signer.NewGitHub(literalSecret(b, literal), signer.WithoutDiagnosis()))
			cases = append(cases, timingCase{"GitHub", quiet, s.signer, s.proof, wrongMAC("sha256=", hex.DecodeString, hex.EncodeToString)})
		case "api-keys":
			plain := func(s string) ([]byte, error) { return []byte(s), nil }
			cases = append(cases, timingCase{"APIKeys", s.verifier, s.signer, s.proof, wrongMAC("Bearer ", plain, func(raw []byte) string { return string(raw) })})
		}
	}
	return cases
}

func wrongMAC(prefix string, decode func(string) ([]byte, error), encode func([]byte) string) func(string, int) string {
	return func(value string, at int) string {
		raw, err := decode(strings.TrimPrefix(value, prefix))
		if err != nil {
			panic(err)
		}
		raw[(at+len(raw))%len(raw)] ^= 1
		return prefix + encode(raw)
	}
}

// request returns a request that is refused because one byte of its signature
// is wrong.
func (c timingCase) request(b *testing.B, body []byte, at int) *http.Request {
	r := signed(b, c.signer, "whk_1", time.Now(), body)
	r.Header.Set(c.header, c.wrong(r.Header.Get(c.header), at))
	_, err := c.verifier.Verify(r, body)
	require.ErrorIs(b, err, signer.ErrUnverified)
	return r
}

type timingRow struct {
	name string
	a, b timingStats
	t    float64 // of the tries up to the 95th percentile
	raw  float64 // of all
}

type timingStats struct{ median, mean, deviation float64 }

// measure measures b.N tries of each kind, in random order. All tries use one
// request, each with a fresh copy of the header's value. Otherwise the
// measurement would compare places in memory.
func (c timingCase) measure(b *testing.B, name string, x, y int, body []byte) timingRow {
	n, r := b.N, c.request(b, body, x)
	values := [2]string{r.Header.Get(c.header), c.wrong(c.wrong(r.Header.Get(c.header), x), y)}
	times := [2][]float64{make([]float64, 0, n), make([]float64, 0, n)}
	order := rand.New(rand.NewPCG(1, 2))
	for len(times[0]) < n || len(times[1]) < n {
		kind := int(order.Uint32() & 1)
		if len(times[kind]) == n {
			kind = 1 - kind
		}
		r.Header[c.header][0] = strings.Clone(values[kind])
		begin := time.Now()
		_, _ = c.verifier.Verify(r, body)
		times[kind] = append(times[kind], float64(time.Since(begin)))
	}
	row := timingRow{name: name, raw: welch(times[0], times[1])}
	slices.Sort(times[0])
	slices.Sort(times[1])
	row.a, row.b = statsOf(times[0]), statsOf(times[1])
	// Longer times come from the scheduler and the collector. Both kinds have the
	// same limit, because two limits would hide a difference.
	limit := max(times[0][(n-1)*95/100], times[1][(n-1)*95/100])
	row.t = welch(below(times[0], limit), below(times[1], limit))
	return row
}

func below(sorted []float64, limit float64) []float64 {
	i, _ := slices.BinarySearch(sorted, limit+1)
	return sorted[:i]
}

func statsOf(sorted []float64) timingStats {
	s := timingStats{median: sorted[len(sorted)/2]}
	for _, x := range sorted {
		s.mean += x / float64(len(sorted))
	}
	for _, x := range sorted {
		s.deviation += (x - s.mean) * (x - s.mean) / float64(max(1, len(sorted)-1))
	}
	s.deviation = math.Sqrt(s.deviation)
	return s
}

// welch returns the t statistic of two samples with unequal variances, or 0 for
// too few values.
func welch(a, b []float64) float64 {
	x, y := statsOf(a), statsOf(b)
	spread := math.Sqrt(x.deviation*x.deviation/float64(len(a)) + y.deviation*y.deviation/float64(len(b)))
	if spread == 0 {
		return 0
	}
	return (x.mean - y.mean) / spread
}

func timingTable(n int, rows []timingRow) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d tries of each, nanoseconds\n%-14s %10s %10s %10s %10s %10s %12s\n", n, "", "median", "median", "mean", "mean", "Welch t", "t, no limit")
	for _, r := range rows {
		fmt.Fprintf(&out, "%-14s %10.0f %10.0f %10.1f %10.1f %10.2f %12.2f\n", r.name, r.a.median, r.b.median, r.a.mean, r.b.mean, r.t, r.raw)
	}
	return out.String()
}
