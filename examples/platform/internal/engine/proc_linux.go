package engine

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// isolate gives a child a process group of its own, so that its children can be ended with it, and has the kernel kill it when
// the platform dies, be it by SIGKILL. The kernel watches the thread that started the child rather than the process,
// so the goroutine that starts one locks its thread until the child has ended.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// killGroup ends a child and its children: with SIGTERM, or at once.
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
