//go:build darwin || freebsd || linux || netbsd || openbsd

package sqldb

import "syscall"

// checkWritable returns an error if the process may not write to a file. It
// does not open the file, see createPrivate.
func checkWritable(path string) error {
	const read, write = 4, 2 // R_OK and W_OK
	return syscall.Access(path, read|write)
}
