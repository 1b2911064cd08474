package servicetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// StartPgBouncer starts PgBouncer in front of a server of [StartPostgres]. It
// uses transaction mode and 5 server connections, which the clients share.
// Further arguments are lines of its configuration, such as "pool_mode =
// session". Clients log in as user postgres. If the test runs as root,
// PgBouncer runs under the account "postgres". Without PgBouncer it skips the
// test.
func StartPgBouncer(t TB, upstream *Server, settings ...string) *Server {
	t.Helper()
	path := pgBouncerPath()
	if path == "" {
		Skip(t, "no PgBouncer; install Debian's package pgbouncer")
	}
	host, port, err := net.SplitHostPort(upstream.Addr())
	if err != nil {
		t.Fatal(err)
	}
	account := serverAccount(t)
	// which the server's account can reach
	base, err := os.MkdirTemp("", "servicetest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	file := filepath.Join(base, "pgbouncer.ini")
	if account != nil {
		if err := os.Chown(base, account.uid, account.gid); err != nil {
			t.Fatal(err)
		}
	}
	s := &Server{
		t: t, scheme: "postgres://postgres@", path: "/postgres?sslmode=disable", log: filepath.Join(base, "server.log"),
		command: func(own string) *exec.Cmd {
			config := fmt.Sprintf("[databases]\n* = host=%s port=%s user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %s\n"+
				"unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 5\nmax_client_conn = 500\n%s\n",
				host, port, own, strings.Join(settings, "\n"))
			if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(path, file)
			cmd.Dir = base
			if account != nil {
				runAs(cmd, *account)
			}
			return cmd
		},
		ready: postgresReady,
	}
	s.launch()
	return s
}

// pgBouncerPath also looks where Debian has it, which is not on every PATH.
func pgBouncerPath() string {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
