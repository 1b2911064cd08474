package servicetest_test

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

// answers reports whether the server answers within a limit.
func answers(s *servicetest.Server, limit time.Duration) bool {
	conn, err := net.DialTimeout("tcp", s.Addr(), limit)
	if err != nil {
		return false
	}
	defer conn.Close()
	// Redis answers this line at once. PostgreSQL treats it as an invalid
	// start-up message and closes the connection, which also counts as an
	// answer.
	_ = conn.SetDeadline(time.Now().Add(limit))
	if _, err := conn.Write([]byte("PING\r\n\r\n")); err != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 16))
	timeout, isNet := err.(net.Error)
	return err == nil || !isNet || !timeout.Timeout()
}

// amply exceeds the time of any answer.
const amply = time.Minute

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
			require.True(t, answers(s, amply))

			s.Pause()
			assert.False(t, answers(s, 300*time.Millisecond), "a frozen server answered")
			s.Resume()
			assert.True(t, answers(s, amply))

			s.Kill()
			assert.False(t, answers(s, amply), "a killed server answered")
			s.Restart()
			assert.True(t, answers(s, amply))
			assert.Equal(t, url, s.URL())
		})
	}
}
