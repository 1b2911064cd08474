package outbox_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/sender/outbox"
)

const scalingEnv = "DEPLOYHOOK_OUTBOX_SCALING_CHILD"

func scalingOptions() []outbox.Option {
	return []outbox.Option{
		outbox.WithSealingKeys(crashKey([]byte("a key of thirty-two bytes, fixed"))), loopback(),
		outbox.WithWorkers(benchWorkers), outbox.WithMaxConcurrency(benchWorkers),
	}
}

// BenchmarkScaling measures how fast one, two and three processes make the
// waiting deliveries of one PostgreSQL database together. On Linux it also
// reports the CPU time that a delivery takes in these processes, in the
// receiver, and in PostgreSQL if that runs on this machine. PostgreSQL's time
// is that of the whole server, so nothing else may use it.
func BenchmarkScaling(b *testing.B) {
	for processes := 1; processes <= 3; processes++ {
		b.Run(fmt.Sprintf("processes=%d", processes), func(b *testing.B) { benchScaling(b, processes) })
	}
}

func benchScaling(b *testing.B, processes int) {
	const endpoints = 10
	url := sqldbtest.NewDatabase(b)
	w := &world{url: url, pool: sqldbtest.OpenPool(b, url)}
	o, err := w.rawOpen(scalingOptions()...)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, o.Close()) })
	target, n := sink(b, "200 OK")
	subscribe(b, o, target, endpoints)
	events, deliveries := eventsFor(b, endpoints)
	publishMany(b, w, o, events, benchEvent())

	children := make([]*scalingChild, processes)
	for i := range children {
		children[i] = startScaling(b, url)
	}
	server := w.postmaster(b)
	receiving, serving := cpuTime(os.Getpid()), cpuTimeOfServer(server)
	b.ResetTimer()
	for _, c := range children {
		c.begin(b)
	}
	w.await(b, n, deliveries, w.table("outbox_delivery")+" WHERE state <> 'delivered'")
	for _, c := range children {
		c.stop(b)
	}
	b.StopTimer()
	b.ReportMetric(float64(deliveries)/b.Elapsed().Seconds(), "deliveries/s")
	per := func(total time.Duration, unit string) {
		b.ReportMetric(float64(total.Nanoseconds())/1000/float64(deliveries), unit)
	}
	if receiving > 0 {
		per(cpuTime(os.Getpid())-receiving, "receiver-cpu-µs/delivery")
	}
	if server > 0 {
		per(cpuTimeOfServer(server)-serving, "postgres-cpu-µs/delivery")
	}
	var sending time.Duration
	for _, c := range children {
		sending += c.wait(b)
	}
	per(sending, "outbox-cpu-µs/delivery")
}

// scalingChild is a process that delivers.
type scalingChild struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	began time.Duration // its CPU time before it began to deliver
}

// startScaling starts a process. It returns when the process has opened the
// database.
func startScaling(b *testing.B, url string) *scalingChild {
	cmd := exec.Command(os.Args[0], "-test.run=^TestScalingChild$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), scalingEnv+"="+url)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(b, err)
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() { killChild(cmd) })
	c := &scalingChild{cmd: cmd, in: in, out: bufio.NewReader(out)}
	c.says(b, "ready\n")
	return c
}

func (c *scalingChild) says(b *testing.B, want string) {
	line, err := c.out.ReadString('\n')
	require.NoError(b, err)
	require.Equal(b, want, line)
}

func (c *scalingChild) begin(b *testing.B) {
	c.began = cpuTime(c.cmd.Process.Pid)
	_, err := io.WriteString(c.in, "go\n")
	require.NoError(b, err)
}

// stop returns when the outbox has stopped.
func (c *scalingChild) stop(b *testing.B) {
	require.NoError(b, c.in.Close())
	c.says(b, "stopped\n")
}

// wait waits for the end of the process, and returns the CPU time that it took
// to deliver.
func (c *scalingChild) wait(b *testing.B) time.Duration {
	_, err := io.Copy(io.Discard, c.out)
	require.NoError(b, err)
	require.NoError(b, c.cmd.Wait())
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime() - c.began
}

// TestScalingChild is a process of BenchmarkScaling, and nothing otherwise.
func TestScalingChild(t *testing.T) {
	url := os.Getenv(scalingEnv)
	if url == "" {
		t.Skip("only BenchmarkScaling runs this")
	}
	w := &world{url: url, pool: sqldbtest.OpenPool(t, url)}
	o, err := w.rawOpen(scalingOptions()...)
	require.NoError(t, err)
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err == nil { // otherwise the parent has ended
		require.NoError(t, o.Start(context.Background()))
	}
	_, _ = io.Copy(io.Discard, in)
	require.NoError(t, o.Stop(context.Background()))
	fmt.Println("stopped")
	require.NoError(t, o.Close())
}

// postmaster is the ID of PostgreSQL's first process, or 0 if the server runs
// on another machine or in another container, or if there is no /proc. The
// server shows the name of the database in the command line of a backend.
func (w *world) postmaster(b *testing.B) int {
	conn, err := w.pool.Acquire(context.Background())
	require.NoError(b, err)
	defer conn.Release()
	backend := int(conn.Conn().PgConn().PID())
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", backend))
	if err != nil || !bytes.Contains(line, []byte(conn.Conn().Config().Database)) {
		return 0
	}
	parent, _ := strconv.Atoi(statOf(backend)[statParent])
	return parent
}

// cpuTimeOfServer is the CPU time of PostgreSQL's processes, including those
// that have ended.
func cpuTimeOfServer(postmaster int) (total time.Duration) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, path := range all {
		pid, _ := strconv.Atoi(filepath.Base(path))
		stat := statOf(pid)
		switch {
		case stat == nil:
		case pid == postmaster:
			total += ticks(stat[statUser:statEnd]...)
		case stat[statParent] == strconv.Itoa(postmaster):
			total += ticks(stat[statUser:statChildren]...)
		}
	}
	return total
}

// cpuTime is the CPU time of a process so far, or 0 without /proc.
func cpuTime(pid int) time.Duration {
	if stat := statOf(pid); stat != nil {
		return ticks(stat[statUser:statChildren]...)
	}
	return 0
}

// Indexes of what statOf returns.
const (
	statParent   = 1
	statUser     = 11 // and system time
	statChildren = 13 // both for children that have ended
	statEnd      = 15
)

// statOf returns the fields of a process in /proc after its name, or nil.
func statOf(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	if all := strings.Fields(rest); len(all) >= statEnd {
		return all
	}
	return nil
}

// ticks adds up times of the kernel, which has 100 a second for programs.
func ticks(all ...string) (total time.Duration) {
	for _, text := range all {
		n, _ := strconv.ParseInt(text, 10, 64)
		total += time.Duration(n) * 10 * time.Millisecond
	}
	return total
}
