//go:build !linux

package engine

import (
	"os"
	"os/exec"
)

// isolate does nothing on this system. Only Linux can tie a child's life to the
// platform's. Elsewhere a platform that is killed by SIGKILL leaves its
// instances running. A platform that is stopped does not.
func isolate(*exec.Cmd) {}

func killGroup(p *os.Process, atOnce bool) error {
	if atOnce {
		return p.Kill()
	}
	return p.Signal(os.Interrupt)
}
