package outbox

import "strconv"

// MaxCount is the number up to which [Stats] count.
const MaxCount = 10_000

// Count is a number of deliveries or events. Counting stops at 10,000
// ([MaxCount]), so it costs the same in a table of any size.
type Count struct {
	// N is the number. It is exact unless More is set.
	N int `json:"n"`
	// More reports that there may be more than N.
	More bool `json:"more"`
}

// String returns for example "1,234", or "10,000+" if there may be more.
func (c Count) String() string {
	text := strconv.Itoa(c.N)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	if c.More {
		text += "+"
	}
	return text
}
