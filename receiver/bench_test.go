package receiver_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// BenchmarkReceive sends a 700-byte event over loopback to three handlers. The
// floor is a bare handler that reads the body and checks one HMAC. The second
// also uses encoding/json. The third is the receiver with decoding, validation,
// claim and completion.
func BenchmarkReceive(b *testing.B) {
	secret := signer.GenerateSecret()
	scheme, err := signer.NewStandard(secret)
	require.NoError(b, err)
	body := benchBody()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret.Reveal(), "whsec_"))
	require.NoError(b, err)

	b.Run("floor=bare-handler", func(b *testing.B) { benchServe(b, scheme, body, bareHandler(key, nil)) })
	b.Run("floor=bare-handler+encoding-json", func(b *testing.B) {
		benchServe(b, scheme, body, bareHandler(key, func(raw []byte) error {
			var e map[string]any
			return json.Unmarshal(raw, &e)
		}))
	})
	b.Run("receiver", func(b *testing.B) {
		benchServe(b, scheme, body, newReceiver(b, scheme, receiver.WithDedupe(newMemory(b), "bench")).Events(ok))
	})
	b.Run("receiver+log", func(b *testing.B) {
		logger := slog.New(slog.NewJSONHandler(io.Discard, nil))
		rcv := newReceiver(b, scheme, receiver.WithDedupe(newMemory(b), "bench"), receiver.WithLogger(logger))
		benchServe(b, scheme, body, rcv.Events(ok))
	})
}

// BenchmarkServe measures the receiver without a network.
func BenchmarkServe(b *testing.B) {
	scheme := newScheme(b)
	body := benchBody()
	h := newReceiver(b, scheme, receiver.WithDedupe(newMemory(b), "bench")).Events(ok)
	b.ReportAllocs()
	now := time.Now()
	r := signedRequest(b, scheme, "", string(body))
	reader := bytes.NewReader(body)
	r.Body = io.NopCloser(reader)
	w := &nullWriter{header: http.Header{}}
	for b.Loop() {
		b.StopTimer()
		require.NoError(b, scheme.Sign(r.Context(), r, payload.NewDeliveryID(), now, body))
		reader.Reset(body)
		b.StartTimer()
		h.ServeHTTP(w, r)
	}
	require.Equal(b, 200, w.status)
}

type nullWriter struct {
	header http.Header
	status int
}

func (w *nullWriter) Header() http.Header             { return w.header }
func (w *nullWriter) Write(p []byte) (int, error)     { return len(p), nil }
func (w *nullWriter) WriteHeader(status int)          { w.status = status }
func (w *nullWriter) SetReadDeadline(time.Time) error { return nil }

func benchBody() []byte {
	body := strings.TrimSuffix(eventBody, "}") + `,"metadata":{"note":"` + strings.Repeat("x", 700-len(eventBody)-24) + `"}}`
	return []byte(body)
}

// benchServe posts from one keep-alive connection per processor.
func benchServe(b *testing.B, s signer.Signer, body []byte, h http.Handler) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	server := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	defer func() {
		_ = server.Close()
		<-done
	}()
	url := "http://" + l.Addr().String() + "/"
	b.ReportAllocs()
	b.SetParallelism(4)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		transport := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
		defer transport.CloseIdleConnections()
		for pb.Next() {
			r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			r.Header.Set("Content-Type", "application/json")
			if err := s.Sign(r.Context(), r, payload.NewDeliveryID(), time.Now(), body); err != nil {
				b.Error(err)
				return
			}
			resp, err := transport.RoundTrip(r)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b.Errorf("status %d", resp.StatusCode)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

func bareHandler(key []byte, decode func([]byte) error) http.Handler {
	pool := sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "body", http.StatusBadRequest)
			return
		}
		h := r.Header
		mac := pool.Get().(interface {
			io.Writer
			Reset()
			Sum([]byte) []byte
		})
		mac.Reset()
		_, _ = io.WriteString(mac, h.Get("Webhook-Id")+"."+h.Get("Webhook-Timestamp")+".")
		_, _ = mac.Write(body)
		sum := mac.Sum(nil)
		pool.Put(mac)
		given, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(h.Get("Webhook-Signature"), "v1,"))
		if err != nil || !hmac.Equal(sum, given) {
			http.Error(w, "signature", http.StatusUnauthorized)
			return
		}
		if decode != nil && decode(body) != nil {
			http.Error(w, "payload", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"received":true}`)
	})
}
