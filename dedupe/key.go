package dedupe

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Key identifies one delivery from one source. It is a comparable SHA-256
// digest, so it has a fixed size and reveals nothing about the ID. Stores
// refuse the zero Key.
type Key [sha256.Size]byte

// NewKey returns the key of a delivery. It combines the source of the delivery,
// the principal (tenant, organization) that verification returned, and the
// delivery's ID.
//
// Each part is hashed together with its length, so ("a", "bc") and ("ab", "c")
// give different keys. A tenant cannot choose an ID that equals another
// tenant's key. Each part may be empty and may contain any bytes. The
// computation never changes, so instances of different versions can share a
// store.
//
// NewKey does not allocate.
func NewKey(source, principal, id string) Key {
	const prefixes = 3 * 8
	var buf [512]byte
	if len(source)+len(principal)+len(id) > len(buf)-prefixes {
		return newLongKey(source, principal, id)
	}
	b := appendPart(buf[:0], source)
	b = appendPart(b, principal)
	b = appendPart(b, id)
	return sha256.Sum256(b)
}

// String returns the key in lower-case hex.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

func appendPart(b []byte, part string) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
	return append(b, part...)
}

// newLongKey hashes the same bytes in pieces, for parts that are too long for
// NewKey's buffer.
func newLongKey(source, principal, id string) (k Key) {
	h := sha256.New()
	var buf [512]byte
	for _, part := range [...]string{source, principal, id} {
		h.Write(binary.BigEndian.AppendUint64(buf[:0], uint64(len(part))))
		for part != "" {
			n := copy(buf[:], part)
			h.Write(buf[:n])
			part = part[n:]
		}
	}
	h.Sum(k[:0])
	return k
}
