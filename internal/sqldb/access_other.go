//go:build !(darwin || freebsd || linux || netbsd || openbsd)

package sqldb

import "os"

// checkWritable returns an error if the process may not write to a file. On
// these systems a lock belongs to a descriptor, so opening another one is safe.
func checkWritable(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return file.Close()
}
