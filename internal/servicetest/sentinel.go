package servicetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// StartSentinel starts a Redis Sentinel that watches a master under a name. It
// alone decides about a failover. Further arguments are settings of the master,
// such as "down-after-milliseconds 3000". Without a redis-server on PATH it
// skips the test.
func StartSentinel(t testing.TB, name, master string, settings ...string) *Server {
	t.Helper()
	path := Program(t, "redis-server")
	host, masterPort, err := net.SplitHostPort(master)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "sentinel.conf")
	s := &Server{
		t: t, scheme: "redis://", log: filepath.Join(dir, "server.log"),
		command: func(port string) *exec.Cmd {
			var config strings.Builder
			fmt.Fprintf(&config, "bind 127.0.0.1\nport %s\ndir %s\nsentinel monitor %s %s %s 1\n", port, dir, name, host, masterPort)
			for _, setting := range settings {
				key, value, _ := strings.Cut(setting, " ")
				fmt.Fprintf(&config, "sentinel %s %s %s\n", key, name, value)
			}
			if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			return exec.Command(path, file, "--sentinel")
		},
		ready: redisReady,
	}
	s.launch()
	return s
}
