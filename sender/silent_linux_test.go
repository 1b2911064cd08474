package sender_test

import (
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// A host that does not answer the first packet of a connection. On Linux that
// is a listener with a full queue.
func TestSilentHostIsNoConnection(t *testing.T) {
	t.Parallel()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer func() { _ = syscall.Close(fd) }()
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	s := newSender(t, sender.WithTimeout(time.Second))
	// A queue may have room for one more, if the machine was too slow to answer.
	for begun := time.Now(); ; {
		for { // until a connection is not answered any more
			conn, err := net.DialTimeout("tcp", address, time.Second)
			if err != nil {
				break
			}
			defer func() { _ = conn.Close() }()
		}
		a := attempt(t, s, sender.Endpoint{URL: sender.NewURL("https://" + address), Signer: standard(t)})
		require.Equal(t, sender.Failed, a.Outcome)
		if a.Class == sender.ClassConnect {
			require.ErrorContains(t, a.Err, "does not answer")
			return
		}
		require.Less(t, time.Since(begun), patience, "%v", a.Err)
	}
}
