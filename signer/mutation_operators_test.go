package signer_test

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"strconv"
	"strings"
	"time"
)

type operator struct {
	name   string
	onBody bool
	apply  func(m *mutator, d *delivery)
}

// The first proofOperators change nothing but headers.
const proofOperators = 16

var operators = []operator{
	{"bit of a header", false, onValue(flipBit)},
	{"byte of a header", false, onValue(changeByte)},
	{"cut header", false, onValue(cut)},
	{"blank in a header", false, onValue(addBlank)},
	{"case of a header", false, onValue(changeCase)},
	{"encoding of a header", false, onValue(reencode)},
	{"header doubled", false, doubleHeader},
	{"header left out", false, func(m *mutator, d *delivery) { delete(d.header, m.name()) }},
	{"header empty", false, onValue(func(*mutator, string) string { return "" })},
	{"headers swapped", false, swapHeaders},
	{"header of the other request", false, takeHeader},
	{"header of another scheme", false, takeForeignHeader},
	{"headers of another scheme beside", false, addForeignHeaders},
	{"list flooded", false, flood},
	{"list spoiled", false, spoil},
	{"header repeated in itself", false, onValue(func(m *mutator, v string) string { return v + pick(m, []string{" ", ",", ", ", ";", ""}) + v })},
	{"timestamp", true, changeTime},
	{"timestamp again", true, changeTime}, // twice as often
	{"boundary of the signed bytes", true, moveBoundary},
	{"body of the other request", true, func(m *mutator, d *delivery) { d.body = append([]byte(nil), m.b.body...) }},
	{"headers of the other request", true, func(m *mutator, d *delivery) { d.header = m.b.clone().header }},
	{"bodies spliced", true, spliceBodies},
	{"bit of the body", true, onBody(flipBit)},
	{"byte of the body", true, onBody(changeByte)},
	{"cut body", true, onBody(cut)},
	{"blank in the body", true, onBody(addBlank)},
	{"case of the body", true, onBody(changeCase)},
	{"body re-encoded", true, onBody(rewrite)},
}

// name picks one of the headers that the verifier looks at.
func (m *mutator) name() string { return pick(m, m.subject.headers()) }

func onValue(change func(*mutator, string) string) func(*mutator, *delivery) {
	return func(m *mutator, d *delivery) {
		if values := d.header[m.name()]; len(values) > 0 {
			i := m.IntN(len(values))
			values[i] = change(m, values[i])
		}
	}
}

func onBody(change func(*mutator, string) string) func(*mutator, *delivery) {
	return func(m *mutator, d *delivery) { d.body = []byte(change(m, string(d.body))) }
}

func flipBit(m *mutator, v string) string {
	if v == "" {
		return "\x01"
	}
	out := []byte(v)
	out[m.IntN(len(out))] ^= 1 << m.IntN(8)
	return string(out)
}

// changeByte replaces, inserts or takes out a byte.
func changeByte(m *mutator, v string) string {
	i := m.IntN(len(v) + 1)
	inserted := string(rune(m.IntN(128)))
	switch end := min(i+1, len(v)); m.IntN(3) {
	case 0:
		return v[:i] + inserted + v[end:]
	case 1:
		return v[:i] + inserted + v[i:]
	default:
		return v[:i] + v[end:]
	}
}

func cut(m *mutator, v string) string {
	i := m.IntN(len(v) + 1)
	if m.IntN(2) == 0 {
		return v[:i]
	}
	return v[i:]
}

var blanks = []string{" ", "\t", "\n", "\r\n", "\x00", "\v", "\u00a0", "\u200b", "  "}

func addBlank(m *mutator, v string) string {
	i := pick(m, []int{0, len(v), m.IntN(len(v) + 1)})
	return v[:i] + pick(m, blanks) + v[i:]
}

func changeCase(m *mutator, v string) string {
	switch m.IntN(3) {
	case 0:
		return strings.ToUpper(v)
	case 1:
		return strings.ToLower(v)
	}
	if v == "" {
		return v
	}
	out := []byte(v)
	if i := m.IntN(len(out)); 'a' <= out[i]|0x20 && out[i]|0x20 <= 'z' {
		out[i] ^= 0x20
	}
	return string(out)
}

// reencode writes a proof in another spelling of the same bytes, and other
// texts in ways that parsers confuse.
func reencode(m *mutator, v string) string {
	prefix, encoded := "", v
	if i := strings.LastIndexAny(strings.TrimRight(v, "="), ",= "); i >= 0 {
		prefix, encoded = v[:i+1], v[i+1:]
	}
	switch m.IntN(8) {
	case 0:
		return strings.NewReplacer("+", "-", "/", "_").Replace(v)
	case 1:
		return strings.TrimRight(v, "=")
	case 2:
		return v + "="
	case 3:
		if raw, err := hex.DecodeString(encoded); err == nil {
			return prefix + base64.StdEncoding.EncodeToString(raw)
		}
	case 4:
		if raw, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return prefix + hex.EncodeToString(raw)
		}
	case 5:
		return pick(m, []string{"sha256=", "sha1=", "v1,", "v1=", "v1a,", "v2,", "t=1,", "Bearer ", "Basic ", "%"}) + v
	case 6:
		return encoded
	}
	return trailingBits(m, v)
}

// trailingBits sets bits of the last base64 character that carry no data.
func trailingBits(m *mutator, v string) string {
	body := strings.TrimRight(v, "=")
	if body == "" || body == v {
		return v + v
	}
	out := []byte(v)
	out[len(body)-1] += byte(1 + m.IntN(3))
	return string(out)
}

func doubleHeader(m *mutator, d *delivery) {
	name := m.name()
	values := d.header[name]
	other := pick(m, []string{"", "x", strings.Join(values, ","), strings.Join(m.b.header[name], ",")})
	if m.IntN(2) == 0 {
		d.header[name] = append(values, other)
		return
	}
	d.header[name] = append([]string{other}, values...)
}

func swapHeaders(m *mutator, d *delivery) {
	x, y := m.name(), m.name()
	d.header[x], d.header[y] = d.header[y], d.header[x]
}

func takeHeader(m *mutator, d *delivery) {
	name := m.name()
	d.header[name] = append([]string(nil), m.b.header[name]...)
}

// takeForeignHeader puts the value that another scheme signed under this
// scheme's header name.
func takeForeignHeader(m *mutator, d *delivery) {
	donor := pick(m, m.donors)
	names := make([]string, 0, len(donor.header))
	for name := range donor.header {
		names = append(names, name)
	}
	if len(names) > 1 { // a map's order is no seed's
		names = []string{minOf(names), maxOf(names)}
	}
	d.header[m.name()] = append([]string(nil), donor.header[pick(m, names)]...)
}

func minOf(names []string) string {
	least := names[0]
	for _, n := range names {
		least = min(least, n)
	}
	return least
}

func maxOf(names []string) string {
	greatest := names[0]
	for _, n := range names {
		greatest = max(greatest, n)
	}
	return greatest
}

// addForeignHeaders replaces a header with all headers that another scheme
// signed, to attempt a downgrade.
func addForeignHeaders(m *mutator, d *delivery) {
	delete(d.header, m.name())
	for name, values := range pick(m, m.donors).header {
		d.header[name] = append(d.header[name], values...)
	}
}

// flood makes a list too long with the signature in it, or fills it with other
// signatures and leaves the right one out.
func flood(m *mutator, d *delivery) {
	values := d.header[m.subject.proof]
	if len(values) != 1 {
		return
	}
	sep := m.subject.sep
	if sep == "" {
		sep = pick(m, []string{" ", ",", ", "})
	}
	entries := strings.Split(values[0], sep)
	other := strings.Split(m.b.header[m.subject.proof][0], sep)
	filler := pick(m, []string{other[len(other)-1], "v9" + other[len(other)-1], "x=y", "v9,x"})
	switch m.IntN(3) {
	case 0: // more than 16 signatures, and a t= in Stripe's
		entries = append(entries, strings.Split(strings.Repeat(filler+"\x01", 17), "\x01")[:17]...)
		m.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
	case 1: // more than 8 KiB
		long := map[string]string{" ": "v9,", ",": "v9="}[sep]
		entries = append(entries, long+strings.Repeat("A", 8192))
	default: // full, with none of its own; Stripe's time stays
		entries = entries[:timeEntries(entries)]
		for len(entries) < 16 {
			entries = append(entries, other[len(other)-1])
		}
	}
	values[0] = strings.Join(entries, sep)
}

// timeEntries returns the number of entries at the beginning that are not
// signatures.
func timeEntries(entries []string) int {
	if strings.HasPrefix(entries[0], "t=") || strings.HasPrefix(entries[0], "timestamp=") {
		return 1
	}
	return 0
}

// spoil puts a malformed entry into the list. Usually it replaces a signature,
// because an additional malformed entry is skipped.
func spoil(m *mutator, d *delivery) {
	values := d.header[m.subject.proof]
	if len(values) != 1 {
		return
	}
	sep := pick(m, []string{" ", ",", "  ", ",,"})
	bad := pick(m, []string{"v1,AAAA", "v1a,AAAA", "v1=00", "v1,", "v1", "", "=", "t=1", "sha256="})
	switch m.IntN(8) {
	case 0:
		values[0] = bad + sep + values[0]
	case 1:
		values[0] += sep + bad
	default:
		own := cmp.Or(m.subject.sep, "\x00") // one signature has no separator
		entries := strings.Split(values[0], own)
		for i := timeEntries(entries); i < len(entries); i++ {
			entries[i] = bad + pick(m, []string{"", sep}) + changeByte(m, entries[i])
		}
		values[0] = strings.Join(entries, own)
	}
}

var twoTo64 = new(big.Int).Lsh(big.NewInt(1), 64)

// changeTime changes the timestamp or its spelling, wherever it is.
func changeTime(m *mutator, d *delivery) {
	name, prefix := m.subject.proof, "t="
	if m.subject.name == "buildkite" {
		prefix = "timestamp="
	}
	if n := len(m.subject.fixed); n > 0 {
		name, prefix = m.subject.fixed[n-1], ""
	}
	values := d.header[name]
	if len(values) != 1 {
		return
	}
	entry, rest, _ := strings.Cut(values[0], ",")
	digits, ok := strings.CutPrefix(entry, prefix)
	seconds, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil {
		values[0] = changeByte(m, values[0])
		return
	}
	values[0] = prefix + m.otherTime(digits, seconds)
	if rest != "" {
		values[0] += "," + rest
	}
}

func (m *mutator) otherTime(digits string, seconds int64) string {
	offset := pick(m, []int64{1, 2, 10, 59, 60, 299, 300, 301, 3600, 86400, 365 * 86400, 1 << 31, 1 << 32, 90_000_000_000})
	switch m.IntN(6) {
	case 0:
		return strconv.FormatInt(seconds+offset, 10)
	case 1:
		return strconv.FormatInt(seconds-offset, 10)
	case 2:
		return new(big.Int).Add(twoTo64, big.NewInt(seconds)).String()
	case 3:
		return strconv.FormatInt(time.Now().Unix()+m.Int64N(601)-300, 10)
	}
	return pick(m, []string{
		"+" + digits, "-" + digits, "0" + digits, "00" + digits, digits + ".0", digits + ".", digits + "000", digits + "e0", " " + digits, digits + " ", "0x" + strconv.FormatInt(seconds, 16),
		digits[:len(digits)-1], digits + "0", strings.Repeat("9", 11), strings.Repeat("9", 18), "1e9", "0", "NaN", digits[:1] + "_" + digits[1:],
	})
}

// moveBoundary moves bytes of the signed text id.timestamp.body from one part
// into the next.
func moveBoundary(m *mutator, d *delivery) {
	if len(m.subject.fixed) == 0 {
		d.body = append([]byte("."), d.body...)
		return
	}
	stampName := m.subject.fixed[len(m.subject.fixed)-1]
	stamp := strings.Join(d.header[stampName], "")
	first, rest, _ := strings.Cut(string(d.body), ".")
	switch m.IntN(4) {
	case 0: // the timestamp becomes part of the ID, the body's beginning the timestamp
		if name := m.subject.fixed[0]; name != stampName {
			d.header[name] = []string{strings.Join(d.header[name], "") + "." + stamp}
		}
		d.header[stampName], d.body = []string{first}, []byte(rest)
	case 1:
		d.header[stampName], d.body = []string{stamp + "." + first}, []byte(rest)
	case 2:
		d.body = []byte(stamp + "." + string(d.body))
	default:
		if stamp != "" {
			d.header[stampName], d.body = []string{stamp[:len(stamp)-1]}, append([]byte(stamp[len(stamp)-1:]), d.body...)
		}
	}
}

func spliceBodies(m *mutator, d *delivery) {
	i, j := m.IntN(len(d.body)+1), m.IntN(len(m.b.body)+1)
	d.body = append(d.body[:i:i], m.b.body[j:]...)
}

// rewrite does to a body what middleware does.
func rewrite(m *mutator, v string) string {
	switch m.IntN(6) {
	case 0:
		return strings.ReplaceAll(v, ":", ": ")
	case 1:
		return strings.ReplaceAll(v, "é", `\u00e9`)
	case 2:
		return strings.TrimSpace(v) + "\n"
	case 3:
		return strings.ToValidUTF8(v, "\ufffd")
	case 4:
		return strings.ReplaceAll(v, "\n", "\r\n")
	default:
		return "\ufeff" + v
	}
}
