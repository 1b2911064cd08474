//go:build unix

package gitlinker

import (
	"os/exec"
	"syscall"
)

// ownGroup makes killing the command also kill its children.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
