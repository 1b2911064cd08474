package engine

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// isolate gives a child its own process group, so that its children can be
// killed with it. The kernel kills the child when the platform dies, even by
// SIGKILL. The kernel watches the thread that started the child. The goroutine
// that starts a child must therefore lock its thread until the child has ended.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// killGroup ends a child and its children with SIGTERM, or with SIGKILL if
// atOnce is set.
func killGroup(p *os.Process, atOnce bool) error {
	sig := syscall.SIGTERM
	if atOnce {
		sig = syscall.SIGKILL
	}
	err := syscall.Kill(-p.Pid, sig)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
