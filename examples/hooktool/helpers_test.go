package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// listening is a running "hooktool listen -json".
type listening struct {
	t     *testing.T
	cmd   *exec.Cmd // nil in this process
	code  chan int  // the exit status in this process
	out   *bufio.Scanner
	url   string
	lines []map[string]any
}

// listenHere is listen without a process, which takes less time.
func listenHere(t *testing.T, e env, args ...string) *listening {
	t.Helper()
	out, in, err := os.Pipe() // which holds the output until it is read
	require.NoError(t, err)
	t.Cleanup(func() { _ = out.Close() }) // nothing is written any more
	l := &listening{t: t, code: make(chan int, 1), out: bufio.NewScanner(out)}
	l.out.Buffer(nil, 1<<20)
	go func() {
		l.code <- run(t.Context(), append([]string{"listen", "-addr", "127.0.0.1:0", "-json"}, args...), system{
			getenv: func(name string) string { return e[name] }, now: time.Now, stdout: in, stderr: io.Discard,
		})
		_ = in.Close() // the test sees the end of the output, or hangs
	}()
	l.url = l.next()["url"].(string)
	return l
}

// listen starts the program on a free port.
func listen(t *testing.T, dir string, e env, args ...string) *listening {
	t.Helper()
	l := &listening{t: t, cmd: prepared(t, dir, e, append([]string{"listen", "-addr", "127.0.0.1:0", "-json"}, args...)...)}
	pipe, err := l.cmd.StdoutPipe()
	require.NoError(t, err)
	l.cmd.Stderr = os.Stderr
	require.NoError(t, l.cmd.Start())
	l.out = bufio.NewScanner(pipe)
	l.out.Buffer(nil, 1<<20)
	l.url = l.next()["url"].(string)
	return l
}

func (l *listening) next() map[string]any {
	l.t.Helper()
	require.True(l.t, l.out.Scan(), "the output ended")
	var m map[string]any
	require.NoError(l.t, json.Unmarshal(l.out.Bytes(), &m), l.out.Text())
	l.lines = append(l.lines, m)
	return m
}

// end reads the rest of the output and returns the exit status.
func (l *listening) end() int {
	l.t.Helper()
	for l.out.Scan() {
		var m map[string]any
		require.NoError(l.t, json.Unmarshal(l.out.Bytes(), &m), l.out.Text())
		l.lines = append(l.lines, m)
	}
	if l.cmd == nil {
		return <-l.code
	}
	_ = l.cmd.Wait() // the exit status tells
	return l.cmd.ProcessState.ExitCode()
}

// local is a service behind the listener, which keeps what it gets.
type local struct {
	url string

	mu      sync.Mutex
	headers []http.Header
	bodies  []string
}

func newLocal(t *testing.T, status int, text string) *local {
	t.Helper()
	got := &local{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a cut body fails the test later
		got.mu.Lock()
		got.headers, got.bodies = append(got.headers, r.Header.Clone()), append(got.bodies, string(body))
		got.mu.Unlock()
		w.Header().Set("X-Local", "yes")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text) // the client is gone
	}))
	t.Cleanup(server.Close)
	got.url = server.URL
	return got
}

// got returns what has arrived so far.
func (s *local) got() ([]string, []http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bodies), slices.Clone(s.headers)
}

func bytesOf(n int) (out []byte) {
	for i := range n {
		out = append(out, byte(i))
	}
	return out
}

// screen is a listener that prints for people.
type screen struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Reader
	url string
}

func newScreen(t *testing.T, e env, args ...string) *screen {
	t.Helper()
	s := &screen{t: t, cmd: prepared(t, t.TempDir(), e, append([]string{"listen", "-addr", "127.0.0.1:0"}, args...)...)}
	pipe, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	s.out = bufio.NewReader(pipe)
	first, err := s.out.ReadString('\n')
	require.NoError(t, err)
	s.url = strings.Fields(first)[1]
	return s
}

// rest returns what is printed until the end.
func (s *screen) rest() string {
	s.t.Helper()
	text, err := io.ReadAll(s.out)
	require.NoError(s.t, err)
	_ = s.cmd.Wait() // the caller does not need the exit status
	return string(text)
}

func reader(text string) io.Reader { return &stringReader{text} }

// stringReader hides the length of a text from net/http.
type stringReader struct{ rest string }

func (r *stringReader) Read(p []byte) (int, error) {
	if r.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
