//go:build linux && (amd64 || arm64)

package disk

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/libc/sys/types"
	sqlite3 "modernc.org/sqlite/lib"
)

// layer is SQLite's default VFS in a process that has a [Disk]. Paths below a
// disk's folder belong to the disk. All others go to the operating system.
type layer struct {
	below   *sqlite3.Tsqlite3_vfs // the operating system's
	pointer uintptr               // of below

	once    sync.Once
	disks   sync.Map // folder -> *Disk
	handles sync.Map // number -> *handle
	last    atomic.Uint64
	methods uintptr
}

// installed is the VFS. SQLite calls it through pointers to functions, which
// have no other way to find it.
var installed layer

// file is what SQLite allocates for an open file.
type file struct {
	methods uintptr
	number  uint64
}

// install registers the VFS, for the life of the process.
func (l *layer) install() {
	tls := libc.NewTLS()
	l.pointer = sqlite3.Xsqlite3_vfs_find(tls, 0)
	l.below = at[sqlite3.Tsqlite3_vfs](l.pointer)
	l.methods = alloc(tls, unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{}))
	*at[sqlite3.Tsqlite3_io_methods](l.methods) = methods()
	own := alloc(tls, unsafe.Sizeof(sqlite3.Tsqlite3_vfs{}))
	name, err := libc.CString("simulation")
	if err != nil {
		panic(err) // out of memory
	}
	v := at[sqlite3.Tsqlite3_vfs](own)
	*v = *l.below
	v.FpNext, v.FzName = 0, name
	v.FszOsFile = max(l.below.FszOsFile, int32(unsafe.Sizeof(file{})))
	v.FxOpen = pointerTo(struct {
		f func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32
	}{open})
	v.FxDelete = pointerTo(struct {
		f func(*libc.TLS, uintptr, uintptr, int32) int32
	}{remove})
	v.FxAccess = pointerTo(struct {
		f func(*libc.TLS, uintptr, uintptr, int32, uintptr) int32
	}{access})
	v.FxFullPathname = pointerTo(struct {
		f func(*libc.TLS, uintptr, uintptr, int32, uintptr) int32
	}{fullPathname})
	v.FxSleep = pointerTo(struct {
		f func(*libc.TLS, uintptr, int32) int32
	}{sleep})
	v.FxCurrentTimeInt64 = pointerTo(struct {
		f func(*libc.TLS, uintptr, uintptr) int32
	}{currentTime})
	sqlite3.Xsqlite3_vfs_register(tls, own, 1)
}

// at returns the pointer for an address of SQLite's memory, which the garbage
// collector does not manage.
func at[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// bytesAt returns n bytes of SQLite's memory.
func bytesAt(address uintptr, n int) []byte { return unsafe.Slice(at[byte](address), n) }

// pointerTo returns the pointer to a function as SQLite calls it. f is a struct
// with the function.
func pointerTo[T any](f T) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }

// function is the reverse of pointerTo. T is a type of functions.
func function[T any](pointer uintptr) T { return *(*T)(unsafe.Pointer(&struct{ p uintptr }{pointer})) }

func alloc(tls *libc.TLS, size uintptr) uintptr {
	p := libc.Xcalloc(tls, 1, types.Size_t(size))
	if p == 0 {
		panic("out of memory") // as Go itself does
	}
	return p
}

// find returns the process and the file that a path names. The path is that of
// the disk's folder, the process and the file.
func (l *layer) find(path string) (p *Process, name string) {
	cut := strings.LastIndexByte(path, '/')
	if cut < 0 {
		return nil, ""
	}
	folder, name := path[:cut], path[cut+1:]
	cut = strings.LastIndexByte(folder, '/')
	if cut < 0 {
		return nil, ""
	}
	d, found := l.disks.Load(folder[:cut])
	if !found {
		return nil, ""
	}
	return d.(*Disk).process(folder[cut+1:]), name
}

func (l *layer) handle(pFile uintptr) *handle {
	h, _ := l.handles.Load(at[file](pFile).number)
	return h.(*handle)
}

func open(tls *libc.TLS, vfs, zName, pFile uintptr, flags int32, pOutFlags uintptr) int32 {
	l := &installed
	p, name := l.find(libc.GoString(zName))
	if p == nil {
		return function[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](l.below.FxOpen)(tls, l.pointer, zName, pFile, flags, pOutFlags)
	}
	f := at[file](pFile)
	*f = file{}
	h, code := p.open(name, flags&sqlite3.SQLITE_OPEN_CREATE != 0, flags&sqlite3.SQLITE_OPEN_MAIN_DB != 0)
	if code != sqlite3.SQLITE_OK {
		return code
	}
	*f = file{methods: l.methods, number: l.last.Add(1)}
	l.handles.Store(f.number, h)
	if pOutFlags != 0 {
		*at[int32](pOutFlags) = flags
	}
	return sqlite3.SQLITE_OK
}

func remove(tls *libc.TLS, vfs, zName uintptr, sync int32) int32 {
	l := &installed
	p, name := l.find(libc.GoString(zName))
	if p == nil {
		return function[func(*libc.TLS, uintptr, uintptr, int32) int32](l.below.FxDelete)(tls, l.pointer, zName, sync)
	}
	return p.remove(name)
}

func access(tls *libc.TLS, vfs, zName uintptr, flags int32, pResult uintptr) int32 {
	l := &installed
	p, name := l.find(libc.GoString(zName))
	if p == nil {
		return function[func(*libc.TLS, uintptr, uintptr, int32, uintptr) int32](l.below.FxAccess)(tls, l.pointer, zName, flags, pResult)
	}
	*at[int32](pResult) = 0
	if p.exists(name) {
		*at[int32](pResult) = 1
	}
	return sqlite3.SQLITE_OK
}

func fullPathname(tls *libc.TLS, vfs, zName uintptr, n int32, zOut uintptr) int32 {
	l := &installed
	path := libc.GoString(zName)
	if p, _ := l.find(path); p == nil {
		return function[func(*libc.TLS, uintptr, uintptr, int32, uintptr) int32](l.below.FxFullPathname)(tls, l.pointer, zName, n, zOut)
	}
	if len(path) >= int(n) {
		return sqlite3.SQLITE_CANTOPEN
	}
	copy(bytesAt(zOut, len(path)+1), path+"\x00")
	return sqlite3.SQLITE_OK
}

func sleep(_ *libc.TLS, _ uintptr, micros int32) int32 {
	time.Sleep(time.Duration(micros) * time.Microsecond) // the clock of the bubble
	return micros
}

// julianEpoch is 1970 in milliseconds of SQLite's calendar.
const julianEpoch = 210_866_760_000_000

func currentTime(_ *libc.TLS, _, pNow uintptr) int32 {
	*at[int64](pNow) = julianEpoch + time.Now().UnixMilli()
	return sqlite3.SQLITE_OK
}
