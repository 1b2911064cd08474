package sender_test

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// nameServer is a DNS server in this process. It answers questions for A and
// AAAA with the addresses of the name, and "no such host" for all other names.
type nameServer struct {
	conn net.PacketConn

	mu      sync.Mutex
	records map[string][]netip.Addr
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &nameServer{conn: conn, records: map[string][]netip.Addr{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return s
}

// set makes name resolve to addrs from now on.
func (s *nameServer) set(name string, addrs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[name] = nil
	for _, a := range addrs {
		s.records[name] = append(s.records[name], netip.MustParseAddr(a))
	}
}

// resolver asks this server and no other.
func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

func (s *nameServer) serve() {
	buf := make([]byte, 4096)
	for {
		n, peer, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer := s.answer(buf[:n]); answer != nil {
			_, _ = s.conn.WriteTo(answer, peer)
		}
	}
}

// answer makes the response to one question (RFC 1035 section 4).
func (s *nameServer) answer(query []byte) []byte {
	name, end := "", 12
	for end < len(query) && query[end] != 0 {
		size := int(query[end])
		name += strings.ToLower(string(query[end+1:end+1+size])) + "."
		end += 1 + size
	}
	end += 5
	if end > len(query) {
		return nil
	}
	const typeA, typeAAAA, nxDomain = 1, 28, 3
	kind := binary.BigEndian.Uint16(query[end-4:])
	s.mu.Lock()
	addrs, known := s.records[strings.TrimSuffix(name, ".")]
	s.mu.Unlock()

	var answers []byte
	count := uint16(0)
	for _, a := range addrs {
		if a.Is4() != (kind == typeA) || a.Is6() != (kind == typeAAAA) {
			continue
		}
		data := a.AsSlice()
		answers = append(answers, 0xc0, 12) // the question's name
		answers = binary.BigEndian.AppendUint16(answers, kind)
		answers = append(answers, 0, 1, 0, 0, 0, 0, 0, byte(len(data))) // IN, TTL 0
		answers = append(answers, data...)
		count++
	}
	flags := uint16(0x8180)
	if !known {
		flags |= nxDomain
	}
	out := append([]byte(nil), query[:2]...)
	for _, field := range []uint16{flags, 1, count, 0, 0} {
		out = binary.BigEndian.AppendUint16(out, field)
	}
	return append(append(out, query[12:end]...), answers...)
}
