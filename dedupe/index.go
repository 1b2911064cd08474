package dedupe

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// hasher distributes keys over shards and index slots. Each store has its own
// seed. Otherwise an authenticated sender could search for IDs whose digests
// have the same beginning, and so slow down the lookups of all senders.
type hasher [4]uint64

func newHasher() hasher {
	return hasher{rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64()}
}

func (s *hasher) hash(k *Key) uint64 {
	le := binary.LittleEndian
	hi, lo := bits.Mul64(le.Uint64(k[:])^s[0], le.Uint64(k[8:])^s[1])
	h := hi ^ lo
	hi, lo = bits.Mul64(le.Uint64(k[16:])^s[2], le.Uint64(k[24:])^s[3]^h)
	return hi ^ lo
}

// index finds entries by hash, with open addressing and linear probing. A slot
// holds the 32 bits of the hash and the ref. Probing, deleting and growing
// therefore read no entry except the requested one.
type index struct {
	slots []uint64
	count uint32
	shift uint8 // the home slot of a hash is its upper bits, hash >> shift
}

// Once the table has begun to grow, it is between 3/8 and 3/4 full and costs 11
// to 21 bytes a key.
const (
	minSlotBits = 4
	loadNum     = 3
	loadDen     = 4
	hashBits    = 32
	emptySlot   = 0 // 0 never occurs in a used slot, because refs are not 0
)

func newSlot(h uint32, r ref) uint64   { return uint64(h)<<hashBits | uint64(r) }
func slotHash(slot uint64) uint32      { return uint32(slot >> hashBits) }
func slotRef(slot uint64) ref          { return ref(uint32(slot)) }
func (x *index) home(h uint32) uint32  { return h >> x.shift }
func (x *index) after(i uint32) uint32 { return (i + 1) & uint32(len(x.slots)-1) }

// find returns the entry of the key, or 0.
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

// add inserts an entry that is not in the index yet.
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

// remove deletes an entry that is in the index, and closes the gap, so that
// there are no tombstones to clean up.
func (x *index) remove(h uint32, r ref) {
	gap := x.home(h)
	for slot := newSlot(h, r); x.slots[gap] != slot; {
		gap = x.after(gap)
	}
	mask := uint32(len(x.slots) - 1)
	for i := x.after(gap); x.slots[i] != emptySlot; i = x.after(i) {
		// A slot may move to the gap unless the gap lies before its home slot.
		if home := x.home(slotHash(x.slots[i])); (i-home)&mask >= (i-gap)&mask {
			x.slots[gap] = x.slots[i]
			gap = i
		}
	}
	x.slots[gap] = emptySlot
	x.count--
}

// grow doubles the table. Home slots keep their order, so one pass over both
// tables from front to back is enough.
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
