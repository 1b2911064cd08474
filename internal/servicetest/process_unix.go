//go:build unix

package servicetest

import (
	"os/exec"
	"syscall"
)

func kill(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }

// Pause freezes a process with SIGSTOP. It returns errors.ErrUnsupported on a
// system without that signal.
func Pause(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) }

// Resume ends a [Pause].
func Resume(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) }

// runAs lets the command run under an account. Only root may.
func runAs(cmd *exec.Cmd, a account) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}
