package outbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// hangLimit ends a test that would wait forever. It is not a bound on speed.
const hangLimit = 10 * time.Minute

// lockedBuffer takes a log's lines from several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Each background loop has a fault and continues. The fault is counted and
// logged, and the next event is delivered.
func TestBackgroundWork_SurvivesFaults(t *testing.T) {
	t.Parallel()
	for name, inject := range map[string]func(o *Outbox, broken *atomic.Bool){
		inLoading: func(o *Outbox, broken *atomic.Bool) {
			load := o.worker.loader.batches.Run
			o.worker.loader.batches.Run = func(ctx context.Context, ids []string) ([]loaded, error) {
				panicIf(broken)
				return load(ctx, ids)
			}
		},
		inRecording: func(o *Outbox, broken *atomic.Bool) {
			save := o.worker.recorder.batches.Run
			o.worker.recorder.batches.Run = func(ctx context.Context, all []*result) ([]bool, error) {
				panicIf(broken)
				return save(ctx, all)
			}
		},
		inDelivering: breakClock, inMaintenance: breakClock,
		inReplaying: func(o *Outbox, broken *atomic.Bool) {
			turn := o.replayer.takeTurn
			o.replayer.takeTurn = func(ctx context.Context) (bool, error) {
				panicIf(broken)
				return turn(ctx)
			}
		},
		inWaking: func(o *Outbox, broken *atomic.Bool) {
			breakClock(o, broken)
			o.limiter.Rouse("ep_1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var (
				log    lockedBuffer
				broken atomic.Bool
				hits   = make(chan struct{}, 100)
			)
			server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits <- struct{}{} }))
			t.Cleanup(server.Close)
			o := newInside(t, WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
				optionFunc(func(c *config) { c.maintainEvery = time.Millisecond }))
			inject(o.Outbox, &broken)
			broken.Store(true)
			require.NoError(t, o.Start(t.Context()))
			_, _, err := o.App("shop").CreateEndpoint(t.Context(), EndpointConfig{URL: sender.NewURL(server.URL)})
			require.NoError(t, err)
			first := o.publishOne("shop")
			require.Eventually(t, func() bool { return o.Faults()[name] > 0 }, hangLimit, time.Millisecond)
			broken.Store(false)
			for _, id := range []string{first, o.publishOne("shop")} {
				require.Eventually(t, func() bool { return o.delivery(id).State == Delivered }, hangLimit, 5*time.Millisecond)
			}
			require.Equal(t, 1, strings.Count(log.String(), `msg="outbox: contained a fault" in="`+name+`"`)+
				strings.Count(log.String(), `msg="outbox: contained a fault" in=`+name+` `), log.String())
		})
	}
}

func panicIf(broken *atomic.Bool) {
	if broken.Load() {
		panic("injected")
	}
}

func breakClock(o *Outbox, broken *atomic.Bool) {
	o.limiter.Clock = func() time.Time {
		panicIf(broken)
		return time.Now()
	}
}

// newInside returns an outbox on a SQLite file that was not started.
func newInside(t *testing.T, opts ...Option) *inside {
	t.Helper()
	secret := make([]byte, keySize)
	_, _ = rand.Read(secret)
	key, err := NewSealingKey("k1", secret)
	require.NoError(t, err)
	opts = append([]Option{WithSealingKeys(key), WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))}, opts...)
	o, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "outbox.db"), opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return &inside{o, t}
}
