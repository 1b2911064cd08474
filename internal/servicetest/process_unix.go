//go:build unix

package servicetest

import (
	"os/exec"
	"syscall"
)

func kill(pid int) error   { return syscall.Kill(pid, syscall.SIGKILL) }
func pause(pid int) error  { return syscall.Kill(pid, syscall.SIGSTOP) }
func resume(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) }

// runAs lets the command run under an account. Only root may.
func runAs(cmd *exec.Cmd, a account) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}
