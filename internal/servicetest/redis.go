package servicetest

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// StartRedis starts the redis-server on PATH. It syncs every write to disk
// before it confirms it. Further arguments are its own, such as "--maxmemory",
// "4mb". Without a redis-server it skips the test.
func StartRedis(t TB, args ...string) *Server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		Skip(t, "no redis-server on PATH; install Debian's package redis-server")
	}
	dir := t.TempDir()
	s := &Server{
		t: t, scheme: "redis://", path: "/0", log: filepath.Join(dir, "server.log"),
		command: func(port string) *exec.Cmd {
			all := append([]string{
				"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--daemonize", "no",
				"--save", "", "--appendonly", "yes", "--appendfsync", "always",
			}, args...)
			return exec.Command(path, all...)
		},
		ready: redisReady,
	}
	s.launch()
	return s
}

// redisReady requests a PONG, which a server refuses while it loads its data.
func redisReady(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, answerTime)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(conn, "PING\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "+PONG") {
		return fmt.Errorf("the server answered %q", line)
	}
	return nil
}
