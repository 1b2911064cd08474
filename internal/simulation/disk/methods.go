//go:build linux && (amd64 || arm64)

package disk

import (
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// methods are SQLite's calls for an open file.
func methods() sqlite3.Tsqlite3_io_methods {
	type (
		one struct {
			f func(*libc.TLS, uintptr) int32
		}
		block struct {
			f func(*libc.TLS, uintptr, uintptr, int32, int64) int32
		}
		level struct {
			f func(*libc.TLS, uintptr, int32) int32
		}
		result struct {
			f func(*libc.TLS, uintptr, uintptr) int32
		}
	)
	return sqlite3.Tsqlite3_io_methods{
		FiVersion: 2,
		FxClose:   pointerTo(one{closeFile}),
		FxRead:    pointerTo(block{read}),
		FxWrite:   pointerTo(block{write}),
		FxTruncate: pointerTo(struct {
			f func(*libc.TLS, uintptr, int64) int32
		}{truncate}),
		FxSync:              pointerTo(level{syncFile}),
		FxFileSize:          pointerTo(result{fileSize}),
		FxLock:              pointerTo(level{lock}),
		FxUnlock:            pointerTo(level{unlock}),
		FxCheckReservedLock: pointerTo(result{checkReserved}),
		FxFileControl: pointerTo(struct {
			f func(*libc.TLS, uintptr, int32, uintptr) int32
		}{fileControl}),
		FxSectorSize:            pointerTo(one{sectorSize}),
		FxDeviceCharacteristics: pointerTo(one{deviceCharacteristics}),
		FxShmMap: pointerTo(struct {
			f func(*libc.TLS, uintptr, int32, int32, int32, uintptr) int32
		}{shmMap}),
		FxShmLock: pointerTo(struct {
			f func(*libc.TLS, uintptr, int32, int32, int32) int32
		}{shmLock}),
		FxShmBarrier: pointerTo(struct {
			f func(*libc.TLS, uintptr)
		}{shmBarrier}),
		FxShmUnmap: pointerTo(level{shmUnmap}),
	}
}

func closeFile(_ *libc.TLS, pFile uintptr) int32 {
	l := &installed
	if h, found := l.handles.LoadAndDelete(at[file](pFile).number); found {
		h.(*handle).close()
	}
	return sqlite3.SQLITE_OK
}

func read(_ *libc.TLS, pFile, p uintptr, n int32, offset int64) int32 {
	return installed.handle(pFile).read(bytesAt(p, int(n)), offset)
}

func write(_ *libc.TLS, pFile, p uintptr, n int32, offset int64) int32 {
	return installed.handle(pFile).write(bytesAt(p, int(n)), offset)
}

func truncate(_ *libc.TLS, pFile uintptr, size int64) int32 {
	return installed.handle(pFile).truncate(size)
}

func syncFile(_ *libc.TLS, pFile uintptr, _ int32) int32 { return installed.handle(pFile).sync() }

func fileSize(_ *libc.TLS, pFile, pSize uintptr) int32 {
	h := installed.handle(pFile)
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	*at[int64](pSize) = int64(len(h.inode.data))
	return sqlite3.SQLITE_OK
}

func lock(_ *libc.TLS, pFile uintptr, level int32) int32 {
	return installed.handle(pFile).lock(level)
}

func unlock(_ *libc.TLS, pFile uintptr, level int32) int32 {
	installed.handle(pFile).unlock(level)
	return sqlite3.SQLITE_OK
}

func checkReserved(_ *libc.TLS, pFile, pResult uintptr) int32 {
	h := installed.handle(pFile)
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	*at[int32](pResult) = 0
	for other := range h.inode.handles {
		if other.level >= sqlite3.SQLITE_LOCK_RESERVED {
			*at[int32](pResult) = 1
		}
	}
	return sqlite3.SQLITE_OK
}

func fileControl(*libc.TLS, uintptr, int32, uintptr) int32 { return sqlite3.SQLITE_NOTFOUND }

func sectorSize(*libc.TLS, uintptr) int32 { return 4096 }

func deviceCharacteristics(*libc.TLS, uintptr) int32 {
	return sqlite3.SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

func shmMap(tls *libc.TLS, pFile uintptr, region, size, extend int32, pp uintptr) int32 {
	address, code := installed.handle(pFile).shmMap(tls, int(region), uintptr(size), extend != 0)
	*at[uintptr](pp) = address
	return code
}

func shmLock(_ *libc.TLS, pFile uintptr, offset, n, flags int32) int32 {
	return installed.handle(pFile).shmLock(offset, n, flags)
}

// shmBarrier has nothing to do, since the mutex of the disk orders the memory.
func shmBarrier(_ *libc.TLS, pFile uintptr) {
	h := installed.handle(pFile)
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
}

func shmUnmap(tls *libc.TLS, pFile uintptr, _ int32) int32 {
	installed.handle(pFile).shmUnmap(tls)
	return sqlite3.SQLITE_OK
}
