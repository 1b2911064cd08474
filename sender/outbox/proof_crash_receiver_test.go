package outbox_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// crashReceiver is the customer's process. It writes each request, each event
// and each fault to a file before it answers.
type crashReceiver struct {
	Secrets  []string // of crashPaths
	Reliable bool     // it loses nothing
}

// listen opens the customer's port. It stays open while the process that
// accepts connections is dead, as behind a load balancer.
func (c *crash) listen(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process can't inherit a listener here")
	}
	var err error
	c.listener, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.listener.Close()) })
}

func (c *crash) startReceiver(t *testing.T, reliable bool) *exec.Cmd {
	file, err := c.listener.File()
	require.NoError(t, err)
	defer file.Close()
	own := c.receiver
	own.Reliable = reliable
	return c.spawn(t, crashChild{Receiver: &own}, file)
}

func (r *crashReceiver) serve(t *testing.T, child *crashChild) {
	file := os.NewFile(3, "listener") // the first of ExtraFiles
	listener, err := net.FileListener(file)
	require.NoError(t, err)
	s := &crashServer{
		reliable: r.Reliable, attempts: child.create(t, "attempt"), handled: child.create(t, "handled"), faults: child.create(t, "fault"),
	}
	store, err := dedupe.NewMemory(dedupe.WithCapacity(10_000_000))
	require.NoError(t, err)
	mux := http.NewServeMux()
	for i, path := range crashPaths {
		key, err := signer.ParseSecret(r.Secrets[i])
		require.NoError(t, err)
		scheme, err := signer.NewStandard(key)
		require.NoError(t, err)
		r, err := receiver.New(scheme, receiver.WithDedupe(store, path), receiver.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		mux.Handle(path, s.layer(path, r.Events(s.handle(path))))
	}
	fmt.Println("ready")
	require.NoError(t, http.Serve(listener, mux))
}

// crashServer records what the customer gets. The files are written with one
// call for each line, so a kill leaves at most one line incomplete.
type crashServer struct {
	reliable                  bool
	attempts, handled, faults *os.File
}

func (s *crashServer) note(f *os.File, format string, args ...any) {
	if _, err := fmt.Fprintf(f, format+"\n", args...); err != nil {
		panic(err)
	}
}

func (s *crashServer) layer(path string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // its sender was killed
		}
		s.note(s.attempts, "%s %s sha256 %x", path, r.Header.Get("Webhook-Id"), sha256.Sum256(body))
		luck := rand.IntN(10)
		if luck == 0 && !s.reliable {
			http.Error(w, "lost", http.StatusBadGateway)
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		if luck == 1 && !s.reliable {
			panic(http.ErrAbortHandler) // it was handled, and the sender gets no answer
		}
		if answer.Code >= 400 && answer.Code != http.StatusConflict { // 409: a copy of it is being handled
			s.note(s.faults, "the receiver answered %d %s", answer.Code, answer.Body)
		}
		w.WriteHeader(answer.Code)
	})
}

func (s *crashServer) handle(path string) receiver.EventHandler {
	return func(ctx context.Context, e *payload.Event) error {
		id, _ := e.Extra.Get("event_id")
		text, _ := id.Text()
		if d, ok := receiver.FromContext(ctx); !ok || d.ID != e.DeliveryID {
			s.note(s.faults, "the delivery ID in the body is another than in the header")
		}
		s.note(s.handled, "%s %s as %s", path, text, e.DeliveryID)
		return nil
	}
}
