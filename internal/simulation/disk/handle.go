//go:build linux && (amd64 || arm64)

package disk

import (
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// handle is an open file of a process.
type handle struct {
	disk    *Disk
	process *Process
	inode   *inode
	name    string

	// The mutex of the disk protects the rest.
	level     int32 // of the lock on the file
	shm       *shm  // nil until it is mapped
	shared    int32 // the slots of shm that are locked, as bits
	exclusive int32
}

// shm is the memory that the processes share about a database.
type shm struct {
	regions []uintptr
	refs    int // handles that may use the memory, also those of dead processes
}

// writeSlot is the slot that a writer locks.
const writeSlot = 1 << 0

func (h *handle) read(p []byte, offset int64) int32 {
	if code := h.process.before(Read, h.name); code != sqlite3.SQLITE_OK {
		return code
	}
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	n := 0
	if offset < int64(len(h.inode.data)) {
		n = copy(p, h.inode.data[offset:])
	}
	if n < len(p) {
		clear(p[n:])
		return sqlite3.SQLITE_IOERR_SHORT_READ
	}
	return sqlite3.SQLITE_OK
}

func (h *handle) write(p []byte, offset int64) int32 {
	if code := h.process.before(Write, h.name); code != sqlite3.SQLITE_OK {
		return code
	}
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if more := int(offset) + len(p) - len(h.inode.data); more > 0 {
		h.inode.data = append(h.inode.data, make([]byte, more)...)
	}
	copy(h.inode.data[offset:], p)
	return sqlite3.SQLITE_OK
}

func (h *handle) truncate(size int64) int32 {
	if code := h.process.before(Write, h.name); code != sqlite3.SQLITE_OK {
		return code
	}
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if size < int64(len(h.inode.data)) {
		h.inode.data = h.inode.data[:size:size]
	}
	return sqlite3.SQLITE_OK
}

func (h *handle) sync() int32 { return h.process.before(Sync, h.name) }

func (h *handle) close() {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	delete(h.inode.handles, h)
}

// detach takes the locks of a dead process away. The memory that it shared
// stays until it closes the file.
func (h *handle) detach() {
	h.level, h.shared, h.exclusive = sqlite3.SQLITE_LOCK_NONE, 0, 0
	delete(h.inode.handles, h)
	h.inode.forgetShm()
}

// forgetShm drops the shared memory when no living process uses it. The next
// one then recovers the database from its files.
func (f *inode) forgetShm() {
	for other := range f.handles {
		if other.shm != nil {
			return
		}
	}
	f.shm = nil
}

// lock implements the levels of SQLite's locks on a file.
func (h *handle) lock(level int32) int32 {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.process.dead {
		return sqlite3.SQLITE_IOERR
	}
	if h.level >= level {
		return sqlite3.SQLITE_OK
	}
	var highest int32
	for other := range h.inode.handles {
		if other != h {
			highest = max(highest, other.level)
		}
	}
	switch level {
	case sqlite3.SQLITE_LOCK_SHARED:
		if highest >= sqlite3.SQLITE_LOCK_PENDING {
			return sqlite3.SQLITE_BUSY
		}
	case sqlite3.SQLITE_LOCK_RESERVED:
		if highest >= sqlite3.SQLITE_LOCK_RESERVED {
			return sqlite3.SQLITE_BUSY
		}
	default:
		if highest >= sqlite3.SQLITE_LOCK_RESERVED {
			return sqlite3.SQLITE_BUSY
		}
		if highest > sqlite3.SQLITE_LOCK_NONE {
			h.level = sqlite3.SQLITE_LOCK_PENDING
			return sqlite3.SQLITE_BUSY
		}
	}
	h.level = level
	return sqlite3.SQLITE_OK
}

func (h *handle) unlock(level int32) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	h.level = min(h.level, level)
}

func (h *handle) shmMap(tls *libc.TLS, region int, size uintptr, extend bool) (address uintptr, code int32) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.process.dead {
		return 0, sqlite3.SQLITE_IOERR
	}
	if h.shm == nil {
		if h.inode.shm == nil {
			h.inode.shm = &shm{}
		}
		h.shm = h.inode.shm
		h.shm.refs++
	}
	if region >= len(h.shm.regions) && !extend {
		return 0, sqlite3.SQLITE_OK
	}
	for region >= len(h.shm.regions) {
		h.shm.regions = append(h.shm.regions, alloc(tls, size))
	}
	return h.shm.regions[region], sqlite3.SQLITE_OK
}

// shmLock locks or unlocks n slots of the shared memory.
func (h *handle) shmLock(offset, n, flags int32) int32 {
	slots := (int32(1)<<n - 1) << offset
	writing := offset == 0 && flags&sqlite3.SQLITE_SHM_EXCLUSIVE != 0 && slots&writeSlot != 0
	kind := Begin
	if flags&sqlite3.SQLITE_SHM_UNLOCK != 0 {
		kind = End
	}
	if writing {
		// Nothing notices an error of End, but the process may crash.
		if code := h.process.before(kind, h.name); code != sqlite3.SQLITE_OK && kind == Begin {
			return code
		}
	}
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.process.dead {
		return sqlite3.SQLITE_IOERR
	}
	if kind == End {
		h.shared &^= slots
		h.exclusive &^= slots
		return sqlite3.SQLITE_OK
	}
	var shared, exclusive int32
	for other := range h.inode.handles {
		if other != h {
			shared |= other.shared
			exclusive |= other.exclusive
		}
	}
	if flags&sqlite3.SQLITE_SHM_SHARED != 0 {
		if exclusive&slots != 0 {
			return sqlite3.SQLITE_BUSY
		}
		h.shared |= slots
		return sqlite3.SQLITE_OK
	}
	if (shared|exclusive)&slots != 0 {
		return sqlite3.SQLITE_BUSY
	}
	h.exclusive |= slots
	return sqlite3.SQLITE_OK
}

func (h *handle) shmUnmap(tls *libc.TLS) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.shm == nil {
		return
	}
	own := h.shm
	h.shm, h.shared, h.exclusive = nil, 0, 0
	h.inode.forgetShm()
	if own.refs--; own.refs > 0 {
		return
	}
	if h.inode.shm == own {
		h.inode.shm = nil
	}
	for _, address := range own.regions {
		libc.Xfree(tls, address)
	}
}
