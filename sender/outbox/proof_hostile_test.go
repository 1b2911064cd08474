package outbox_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// hostile is an endpoint that tries to make the sender hang, run out of memory,
// or connect to a forbidden address.
type hostile struct {
	name    string
	serve   func(conn net.Conn)
	tls     bool // its URL is https, and what it speaks is not
	outcome sender.Outcome
	class   sender.Class
}

const (
	hostileTimeout = 700 * time.Millisecond
	// hostileHeap is how much the heap may grow during the test. Up to 200
	// concurrent attempts keep 16 KiB each.
	hostileHeap = 96 << 20
)

func hostiles(canary string) []hostile {
	const ok, head = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	const last = "Connection: close\r\n" // or the next attempt may meet a connection that is about to be closed
	var bomb bytes.Buffer
	z, _ := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	_, _ = z.Write(make([]byte, 64<<20))
	_ = z.Close()
	return []hostile{
		{"drips its header", func(c net.Conn) { say(c, head+"X-A: "); dripTo(c) }, false, sender.Failed, sender.ClassTimeout},
		{"drips its body", func(c net.Conn) { say(c, head+"\r\n"); dripTo(c) }, false, sender.Delivered, sender.ClassNone},
		{"drips the body of an error", func(c net.Conn) { say(c, "HTTP/1.1 500 No\r\n\r\n"); dripTo(c) }, false, sender.Failed, sender.ClassStatus},
		{"floods with a body", func(c net.Conn) { say(c, head+"\r\n"); flood(c, "b") }, false, sender.Delivered, sender.ClassNone},
		{"sends a gzip bomb", func(c net.Conn) {
			say(c, head+fmt.Sprintf("Content-Encoding: gzip\r\n"+last+"Content-Length: %d\r\n\r\n", bomb.Len()))
			_, _ = c.Write(bomb.Bytes())
		}, false, sender.Delivered, sender.ClassNone},
		{"sends headers without end", func(c net.Conn) { say(c, ok); flood(c, "X-A: "+strings.Repeat("b", 1000)+"\r\n") }, false, sender.Failed, sender.ClassProtocol},
		{"sends 100,000 informational answers", func(c net.Conn) {
			_, _ = io.Copy(c, io.LimitReader(&repeated{text: "HTTP/1.1 103 Early Hints\r\n\r\n"}, 100_000*28))
		}, false, sender.Failed, sender.ClassProtocol},
		{"redirects to loopback", func(c net.Conn) {
			say(c, "HTTP/1.1 307 There\r\nLocation: "+canary+"\r\n"+last+"Content-Length: 0\r\n\r\n")
		}, false, sender.Failed, sender.ClassStatus},
		{"resets in its header", func(c net.Conn) { say(c, head); abort(c) }, false, sender.Failed, sender.ClassReset},
		{"resets in its body", func(c net.Conn) {
			say(c, head+"Content-Length: 10\r\n\r\nhalf")
			abort(c)
		}, false, sender.Delivered, sender.ClassNone},
		{"never answers", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, false, sender.Failed, sender.ClassTimeout},
		{"speaks garbage for TLS", func(c net.Conn) { flood(c, "\x16\x03\x01garbage") }, true, sender.Failed, sender.ClassTLS},
		{"asks to wait for a year", func(c net.Conn) {
			say(c, "HTTP/1.1 503 Later\r\nRetry-After: 31536000\r\n"+last+"Content-Length: 0\r\n\r\n")
		}, false, sender.Failed, sender.ClassStatus},
	}
}

// repeated is a text without end.
type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.text[r.at]
		r.at = (r.at + 1) % len(r.text)
	}
	return len(p), nil
}

func say(conn net.Conn, text string) { _, _ = io.WriteString(conn, text) }

func flood(conn net.Conn, text string) {
	_, _ = io.Copy(conn, &repeated{text: text})
}

// dripTo writes a byte each second until the client disconnects.
func dripTo(conn net.Conn) {
	for {
		if _, err := conn.Write([]byte("b")); err != nil {
			return
		}
		gone := make([]byte, 1)
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := conn.Read(gone); err == io.EOF {
			return
		}
	}
}

func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// listenHostile runs the server and returns its address.
func (h hostile) listen(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		conns []net.Conn
	)
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			wg.Go(func() {
				defer conn.Close()
				if !h.tls {
					r, err := http.ReadRequest(bufio.NewReader(conn))
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
				}
				h.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// TestProofHostile publishes events to an app with hostile endpoints and one
// good one. Each attempt ends soon after its deadline and is recorded with the
// right class. The heap stays small, and the good endpoint gets everything.
func TestProofHostile(t *testing.T) {
	events := 2
	if *strict {
		events = 8
	}
	oneByOne(t, func(t *testing.T, w *world) {
		var canary atomic.Int64
		trap := newHook(t, func(int, received) int { canary.Add(1); return 200 })
		o := w.start(t, outbox.WithMaxEndpoints(20), outbox.WithDisableAfter(0), outbox.WithBreaker(1_000_000, time.Second, time.Second),
			outbox.WithSchedule(outbox.SchedulePlatform, sender.Once), outbox.WithStopTimeout(time.Second))
		good := newWatched(t)
		create(t, o.App("good"), endpointAt(good.URL+"/other"))
		var alone quantiles
		if *strict {
			alone = testAmongHostile(t, o, good, "good", events)
		}
		by := map[string]hostile{}
		for _, h := range hostiles(trap.URL) {
			url := "http://" + h.listen(t)
			if h.tls {
				url = strings.Replace(url, "http:", "https:", 1)
			}
			e, _ := create(t, o.App("shop"), outbox.EndpointConfig{URL: sender.NewURL(url), Timeout: hostileTimeout})
			by[e.ID] = h
		}
		create(t, o.App("shop"), endpointAt(newHook(t, nil).URL))

		peak := heapPeak()
		q := testAmongHostile(t, o, good, "shop", events)
		noneWaits(t, o)
		grown := peak()
		longest := checkHostile(t, o, by)
		t.Logf("%d attempts at %d hostile endpoints: the longest took %v of %v, the heap grew by %s; %d deliveries to the one that is not: %v",
			events*len(by), len(by), longest.Round(time.Millisecond), hostileTimeout, mib(grown), 10*events, q)
		assertUndelayed(t, alone, q)
		assert.Less(t, grown, int64(hostileHeap))
		assert.Zero(t, canary.Load(), "a redirect was followed")
	})
}

// testAmongHostile publishes events to an app, and ten times as many to the app
// with the watched endpoint.
func testAmongHostile(t *testing.T, o *outbox.Outbox, good *watched, app string, events int) quantiles {
	good.reset()
	for i := range events {
		publish(t, o.App(app), event(payload.DeployLive, "dep_hostile"))
		for k := range 10 {
			good.publish(t, o, "good", fmt.Sprintf("dep_%d_%d", i, k))
		}
	}
	good.arrived(t, 10*events)
	return quantilesOf(good.durations())
}

func noneWaits(t *testing.T, o *outbox.Outbox) {
	eventually(t, func() bool {
		page, err := o.Deliveries(context.Background(), outbox.DeliveryFilter{States: []outbox.State{outbox.Pending}}, outbox.Page{Limit: 1})
		require.NoError(t, err)
		return len(page.Items) == 0 && page.Next == ""
	}, "some attempts do not end")
}

// checkHostile checks the record of each attempt. On a slow machine, the
// deadline of an attempt may pass before the answer arrives. Such an attempt
// says nothing about the endpoint, so events are published until each endpoint
// has an attempt with an answer.
func checkHostile(t *testing.T, o *outbox.Outbox, by map[string]hostile) (longest time.Duration) {
	missing := func() (names []string) {
		for id, h := range by {
			seen, took := h.check(t, o, id)
			if longest = max(longest, took); !seen {
				names = append(names, h.name)
			}
		}
		return names
	}
	begin := time.Now()
	for names := missing(); len(names) > 0; names = missing() {
		require.Less(t, time.Since(begin), patience, "no attempt ended in time: %v", names)
		publish(t, o.App("shop"), event(payload.DeployLive, "dep_again"))
		noneWaits(t, o)
	}
	return longest
}

// check reports whether an attempt has had the endpoint's answer, and how long
// the longest took.
func (h hostile) check(t *testing.T, o *outbox.Outbox, id string) (seen bool, longest time.Duration) {
	page, err := o.Deliveries(t.Context(), outbox.DeliveryFilter{Endpoint: id}, outbox.Page{Limit: outbox.MaxPageLimit})
	require.NoError(t, err)
	require.NotEmpty(t, page.Items, h.name)
	for _, d := range page.Items {
		attempts, err := o.App("shop").Attempts(t.Context(), d.ID)
		require.NoError(t, err)
		require.Len(t, attempts, 1, h.name)
		a := attempts[0]
		require.LessOrEqual(t, len(a.Body), 16<<10, h.name)
		require.Less(t, a.Timings.Total, hostileTimeout+patience, h.name)
		longest = max(longest, a.Timings.Total)
		if h.class != sender.ClassTimeout && a.Class == sender.ClassTimeout && a.Status == 0 {
			continue
		}
		seen = true
		require.Equal(t, h.outcome, a.Outcome, "%s: %s", h.name, a.Error)
		require.Equal(t, h.class, a.Class, "%s: %s", h.name, a.Error)
		if h.outcome == sender.Delivered {
			require.Equal(t, outbox.Delivered, d.State, h.name)
		} else {
			require.Equal(t, outbox.Failed, d.State, h.name)
		}
	}
	return seen, longest
}
