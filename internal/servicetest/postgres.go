package servicetest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"time"
)

// StartPostgres creates a database cluster and starts the newest installed
// PostgreSQL on it. It uses the default settings, in which a commit is on disk
// before it is confirmed. Further arguments are settings, such as
// "max_connections=20". Every local client can log in as user postgres. If the
// test runs as root, the server runs under the account "postgres", because it
// refuses root. Without PostgreSQL it skips the test.
func StartPostgres(t TB, settings ...string) *Server {
	t.Helper()
	bin := postgresBin()
	if bin == "" {
		Skip(t, "no PostgreSQL; install Debian's package postgresql")
	}
	account := serverAccount(t)
	// Do not use t.TempDir, because the server's account must be able to access
	// the folder.
	base, err := os.MkdirTemp("", "servicetest")
	if err != nil {
		t.Fatal(err)
	}
	// This is registered before launch registers the end of the server, so it
	// runs after it.
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	if account != nil {
		if err := os.Chown(base, account.uid, account.gid); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(base, "data")
	as := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.Dir = base
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		if account != nil {
			runAs(cmd, *account)
		}
		return cmd
	}
	initdb := as(exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"))
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, last(out, 2000))
	}
	s := &Server{
		t: t, scheme: "postgres://postgres@", path: "/postgres?sslmode=disable", log: filepath.Join(base, "server.log"),
		command: func(port string) *exec.Cmd {
			args := []string{
				"-D", data, "-p", port,
				"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
			}
			for _, setting := range settings {
				args = append(args, "-c", setting)
			}
			return as(exec.Command(filepath.Join(bin, "postgres"), args...))
		},
		ready: postgresReady,
	}
	s.launch()
	return s
}

// postgresBin finds the newest installed version. Debian does not put the
// server's programs on PATH.
func postgresBin() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	sort.Slice(found, func(i, j int) bool { return version(found[i]) > version(found[j]) })
	if len(found) > 0 {
		return filepath.Dir(found[0])
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // initdb is next to it
	}
	return filepath.Dir(path)
}

// PostgresTool returns the path of a program that comes with PostgreSQL, such
// as pg_dump. Without PostgreSQL it skips the test.
func PostgresTool(t TB, name string) string {
	t.Helper()
	bin := postgresBin()
	if bin == "" {
		Skip(t, "no PostgreSQL; install Debian's package postgresql")
	}
	return filepath.Join(bin, name)
}

func version(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

// account is a user of the system and its group.
type account struct{ uid, gid int }

// serverAccount returns the account that runs the server. It is nil if the test
// does not run as root. The server then runs under the test's account.
func serverAccount(t TB) *account {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		Skip(t, "PostgreSQL refuses to run as root; create the account postgres")
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 31)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 31)
	if err != nil {
		t.Fatal(err)
	}
	return &account{uid: int(uid), gid: int(gid)}
}

// postgresReady sends the start-up message of protocol version 3.0 as user
// postgres. A ready server answers with an authentication request ('R'), and a
// starting one with an error ('E').
func postgresReady(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, answerTime)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	body := "user\x00postgres\x00database\x00postgres\x00\x00"
	message := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	message = binary.BigEndian.AppendUint32(message, 3<<16)
	if _, err := conn.Write(append(message, body...)); err != nil {
		return err
	}
	var kind [1]byte
	if _, err := io.ReadFull(conn, kind[:]); err != nil {
		return err
	}
	if kind[0] != 'R' {
		return fmt.Errorf("the server answered with a message of type %q", kind[0])
	}
	return nil
}
