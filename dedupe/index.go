package dedupe

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// hasher spreads keys over shards and index slots. It is seeded for each store, because an authenticated sender can
// grind IDs until their digests begin alike, and would otherwise make the lookups of everybody walk along them.
type hasher [4]uint64

func newHasher() hasher {
	return hasher{rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64()}
}

func (s *hasher) hash(k *Key) uint64 {
	le := binary.LittleEndian
	hi, lo := bits.Mul64(le.Uint64(k[:8])^s[0], le.Uint64(k[8:16])^s[1])
	h := hi ^ lo
	hi, lo = bits.Mul64(le.Uint64(k[16:24])^s[2], le.Uint64(k[24:])^s[3]^h)
	return hi ^ lo
}

// index finds entries by hash: open addressing with linear probing. A slot is the 32 bits of the hash and the
// ref, so probing, deleting and growing touch no entry but the one looked for.
type index struct {
	slots []uint64
	count uint32
	shift uint8 // a hash's home is its upper bits, hash >> shift
}

// A table of 3/4 at most and 3/8 at least, once it has begun to grow, costs 11 to 21 bytes a key.
const (
	minSlotBits = 4
	loadNum     = 3
	loadDen     = 4
	hashBits    = 32
	emptySlot   = 0 // no slot in use is 0, for no ref is
)

func newSlot(h uint32, r ref) uint64   { return uint64(h)<<hashBits | uint64(r) }
func slotHash(slot uint64) uint32      { return uint32(slot >> hashBits) }
func slotRef(slot uint64) ref          { return ref(uint32(slot)) }
func (x *index) home(h uint32) uint32  { return h >> x.shift }
func (x *index) after(i uint32) uint32 { return (i + 1) & uint32(len(x.slots)-1) }

// find returns the entry of the key, or none.
func (x *index) find(h uint32, key *Key, entries *slab) ref {
	if x.count == 0 {
		return none
	}
	for i := x.home(h); x.slots[i] != emptySlot; i = x.after(i) {
		if slot := x.slots[i]; slotHash(slot) == h && entries.at(slotRef(slot)).key == *key {
			return slotRef(slot)
		}
	}
	return none
}

// add puts in an entry that is not there yet.
func (x *index) add(h uint32, r ref) {
	if (int(x.count)+1)*loadDen > len(x.slots)*loadNum {
		x.grow()
	}
	x.place(newSlot(h, r))
	x.count++
}

func (x *index) place(slot uint64) {
	i := x.home(slotHash(slot))
	for x.slots[i] != emptySlot {
		i = x.after(i)
	}
	x.slots[i] = slot
}

// remove takes out an entry that is there, and closes the gap, so that there are no tombstones to clean up.
func (x *index) remove(h uint32, r ref) {
	gap := x.home(h)
	for slot := newSlot(h, r); x.slots[gap] != slot; {
		gap = x.after(gap)
	}
	mask := uint32(len(x.slots) - 1)
	for i := x.after(gap); x.slots[i] != emptySlot; i = x.after(i) {
		// A slot may move back to the gap unless that lies before its home.
		if home := x.home(slotHash(x.slots[i])); (i-home)&mask >= (i-gap)&mask {
			x.slots[gap] = x.slots[i]
			gap = i
		}
	}
	x.slots[gap] = emptySlot
	x.count--
}

// grow doubles the table. Home slots keep their order, so this is one pass over both tables from front to back.
func (x *index) grow() {
	old := x.slots
	if len(old) == 0 {
		x.slots = make([]uint64, 1<<minSlotBits)
		x.shift = hashBits - minSlotBits
		return
	}
	x.slots = make([]uint64, 2*len(old))
	x.shift--
	for _, slot := range old {
		if slot != emptySlot {
			x.place(slot)
		}
	}
}
