//go:build linux && (amd64 || arm64)

package disk

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// Disk keeps the files of one simulated machine. It is safe for concurrent use.
type Disk struct {
	folder string

	mu        sync.Mutex
	files     map[string]*inode
	processes map[string]*Process
}

// inode is a file. It is protected by the mutex of the disk.
type inode struct {
	data    []byte
	handles map[*handle]struct{}
	shm     *shm
}

// New returns an empty disk at a folder, which must exist. SQLite's clock and
// its files below the folder are those of the simulation until Close.
func New(folder string) (*Disk, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	d := &Disk{folder: filepath.ToSlash(folder), files: map[string]*inode{}, processes: map[string]*Process{}}
	installed.once.Do(installed.install)
	if _, twice := installed.disks.LoadOrStore(d.folder, d); twice {
		return nil, fmt.Errorf("disk: folder %q has a disk already", folder)
	}
	return d, nil
}

// Close forgets the disk. All databases on it must be closed.
func (d *Disk) Close() { installed.disks.Delete(d.folder) }

// Copy returns the contents of all files. Nothing may be writing.
func (d *Disk) Copy() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string][]byte{}
	for name, file := range d.files {
		all[name] = slices.Clone(file.data)
	}
	return all
}

// Restore adds the files of another disk's Copy.
func (d *Disk) Restore(all map[string][]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, data := range all {
		d.files[name] = &inode{data: slices.Clone(data), handles: map[*handle]struct{}{}}
	}
}

// Process is a simulated process that uses the disk. All processes of a disk
// see the same files.
type Process struct {
	disk *Disk
	name string
	hook func(Op) Fault
	dead bool // protected by the mutex of the disk
}

// NewProcess returns a process. hook decides what happens to each of its
// operations. It may be nil. The name must be new, as each start of a program
// is a new process.
func (d *Disk) NewProcess(name string, hook func(Op) Fault) (*Process, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.processes[name] != nil {
		return nil, fmt.Errorf("disk: there was a process %q before", name)
	}
	// Programs look at the path before they pass it to SQLite.
	if err := os.Mkdir(filepath.Join(d.folder, name), 0o700); err != nil {
		return nil, err
	}
	p := &Process{disk: d, name: name, hook: hook}
	d.processes[name] = p
	return p, nil
}

// Path returns the path by which the process opens a file.
func (p *Process) Path(file string) string { return filepath.Join(p.disk.folder, p.name, file) }

// Crash ends the process as far as its files are concerned. Each operation
// fails that it begins. Its locks stay until [Process.Bury], so that a
// statement that is being run ends before another process continues.
func (p *Process) Crash() {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	p.dead = true
}

// Crashed reports whether the process has crashed.
func (p *Process) Crashed() bool {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	return p.dead
}

// Bury releases the locks of a process that crashed, as an operating system
// does. No statement of the process may be running.
func (p *Process) Bury() {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	for _, file := range p.disk.files {
		for h := range file.handles {
			if h.process == p {
				h.detach()
			}
		}
	}
}

func (d *Disk) process(name string) *Process {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.processes[name]
}

// Op is an operation of a process.
type Op struct {
	Kind Kind
	File string
}

// Kind is a kind of operation.
type Kind int

// The operations that can fail.
const (
	Open Kind = iota + 1
	Read
	Write
	Sync
	Begin // the lock for a transaction that writes
	End   // the release of that lock, when the commit or rollback is over
)

// Fault is what happens to an operation. The zero Fault changes nothing.
type Fault struct {
	// Wait is how long the operation takes.
	Wait time.Duration
	// Err is the error that it returns.
	Err Error
	// Crash ends the process before the operation, see [Process.Crash].
	Crash bool
}

// Error is an error of an operation.
type Error int32

// The errors.
const (
	Busy Error = sqlite3.SQLITE_BUSY
	Full Error = sqlite3.SQLITE_FULL
	IO   Error = sqlite3.SQLITE_IOERR
)

// before decides about an operation.
func (p *Process) before(kind Kind, file string) int32 {
	var f Fault
	if p.hook != nil && !p.Crashed() {
		f = p.hook(Op{kind, file})
	}
	if f.Wait > 0 {
		time.Sleep(f.Wait) // the clock of the bubble
	}
	if f.Crash {
		p.Crash()
	}
	if p.Crashed() {
		return sqlite3.SQLITE_IOERR
	}
	return int32(f.Err)
}

func (p *Process) open(name string, create, main bool) (*handle, int32) {
	if main {
		if code := p.before(Open, name); code != sqlite3.SQLITE_OK {
			return nil, sqlite3.SQLITE_CANTOPEN
		}
	}
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	file := p.disk.files[name]
	switch {
	case p.dead, file == nil && !create && !p.made(name):
		return nil, sqlite3.SQLITE_CANTOPEN
	case file == nil:
		file = &inode{handles: map[*handle]struct{}{}}
		p.disk.files[name] = file
	}
	h := &handle{disk: p.disk, process: p, inode: file, name: name}
	file.handles[h] = struct{}{}
	return h, sqlite3.SQLITE_OK
}

// made reports whether the program has made an empty file before it opened it.
func (p *Process) made(name string) bool {
	_, err := os.Stat(p.Path(name))
	return err == nil
}

func (p *Process) remove(name string) int32 {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	switch {
	case p.dead:
		return sqlite3.SQLITE_IOERR
	case p.disk.files[name] == nil:
		return sqlite3.SQLITE_IOERR_DELETE_NOENT
	}
	delete(p.disk.files, name)
	return sqlite3.SQLITE_OK
}

func (p *Process) exists(name string) bool {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	return p.disk.files[name] != nil
}

// Files returns the names of all files, sorted.
func (d *Disk) Files() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.files))
}
