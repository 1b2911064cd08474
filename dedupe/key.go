package dedupe

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Key identifies one delivery from one source. It is a SHA-256 digest: of fixed size whatever the sender chose as ID,
// revealing none of what went into it, and comparable. The zero Key is no delivery's; stores refuse it.
type Key [sha256.Size]byte

// NewKey derives the key of a delivery from the source that it came from, the principal (tenant, organization) that
// verification returned, and the delivery's ID.
//
// Each part is hashed with its length before it, so ("a", "bc") and ("ab", "c") differ, and no choice of an ID lets
// one tenant's delivery pass for another's. Any part may be empty and hold any bytes.
// The derivation never changes: instances of different versions can share a store.
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

// newLongKey hashes the same bytes piece by piece, for parts that are too long for NewKey's buffer.
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
