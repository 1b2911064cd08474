//go:build !unix

package gitlinker

import "os/exec"

// ownGroup does nothing on systems without process groups. Only the command
// itself is killed.
func ownGroup(*exec.Cmd) {}
