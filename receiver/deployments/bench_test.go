package deployments_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// BenchmarkRecord compares ledgers with a floor that every ledger needs. The
// floor encodes the document and stores it in a map under a lock.
func BenchmarkRecord(b *testing.B) {
	b.Run("floor=map", func(b *testing.B) {
		var mu sync.Mutex
		rows := map[string][]byte{}
		d := testDeployment("", payload.StatusSuccess)
		n := 0
		b.ReportAllocs()
		for b.Loop() {
			n++
			d.DeploymentID = fmt.Sprint(n % 50_000)
			document, err := d.Encode()
			if err != nil {
				b.Fatal(err)
			}
			mu.Lock()
			rows["acme "+d.DeploymentID] = document
			mu.Unlock()
		}
	})
	b.Run("memory=create-and-update", func(b *testing.B) {
		l := newLedger(b)
		d := testDeployment("", payload.StatusSuccess)
		n := 0
		b.ReportAllocs()
		for b.Loop() {
			n++
			d.DeploymentID = fmt.Sprint(n % 50_000)
			if _, err := l.Record(b.Context(), "acme", d); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDeployments compares the endpoint without a network with decoding
// its body by encoding/json.
func BenchmarkDeployments(b *testing.B) {
	body := referenceBodies[1]
	b.Run("floor=encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var m map[string]any
			require.NoError(b, json.Unmarshal([]byte(body), &m))
		}
	})
	b.Run("endpoint", func(b *testing.B) {
		h := newDeployments(b, newLedger(b), deployments.WithLogger(slog.New(slog.DiscardHandler)))
		b.ReportAllocs()
		for b.Loop() {
			if w := deploy(h, acmeKey, body); w.Code != 200 && w.Code != 201 {
				b.Fatal(w.Code)
			}
		}
	})
}
