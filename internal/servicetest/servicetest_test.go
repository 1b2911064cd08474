package servicetest_test

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

func answers(s *servicetest.Server) bool {
	conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	// A line that Redis answers at once; PostgreSQL takes it for a broken start-up message and hangs up, which is an
	// answer as well.
	_ = conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := conn.Write([]byte("PING\r\n\r\n")); err != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 16))
	timeout, isNet := err.(net.Error)
	return err == nil || !isNet || !timeout.Timeout()
}

func TestServers(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *servicetest.Server{
		"redis":    func(t testing.TB) *servicetest.Server { return servicetest.StartRedis(t) },
		"postgres": func(t testing.TB) *servicetest.Server { return servicetest.StartPostgres(t, "max_connections=20") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			url := s.URL()
			require.True(t, answers(s))

			s.Pause()
			assert.False(t, answers(s), "a frozen server answered")
			s.Resume()
			assert.Eventually(t, func() bool { return answers(s) }, 10*time.Second, 10*time.Millisecond)

			s.Kill()
			assert.False(t, answers(s), "a killed server answered")
			s.Restart()
			assert.True(t, answers(s))
			assert.Equal(t, url, s.URL())
		})
	}
}
