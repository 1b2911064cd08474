package redact

import (
	"bytes"
	"html"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxPasses is the maximum number of nested encodings that are decoded.
	maxPasses = 8
	// maxEntity is the maximum length of an HTML entity that is decoded.
	maxEntity = 12
	// maxEscape is the maximum length of an incomplete escape at the end of a
	// text.
	maxEscape = 24
)

// Room is the reusable working memory of [URL.Hide]. It is not safe for
// concurrent use, and it keeps nothing after a call.
type Room struct {
	text []byte // in lower case, decoded by the passes so far
	// start is the position in the original of each byte of text. The last
	// element is the original's length.
	start   []int32
	escaped bool // the text may contain something to decode
	passes  int

	forms [][]byte // those of the URL and of a call's other secrets
	arena []byte   // the memory of forms
	spare *Room    // decodes the other secrets
}

// NewRoom returns a Room.
func NewRoom() *Room { return &Room{} }

func beginRoom[T string | []byte](r *Room, text T) {
	r.text, r.start = append(r.text[:0], text...), r.start[:0]
	r.escaped, r.passes = false, 0
	for i, c := range r.text {
		r.text[i] = lower(c)
		r.escaped = r.escaped || isMark(c)
	}
}

// end clears the texts and secrets.
func (r *Room) end() {
	clear(r.text)
	clear(r.arena)
	clear(r.forms)
	r.text, r.arena, r.forms = r.text[:0], r.arena[:0], r.forms[:0]
	if r.spare != nil {
		r.spare.end()
	}
}

// with returns the forms of a URL and those of other secrets.
func (r *Room) with(forms [][]byte, others []string) [][]byte {
	if len(others) == 0 {
		return forms
	}
	r.forms = append(r.forms[:0], forms...)
	if r.spare == nil {
		r.spare = NewRoom()
	}
	for _, other := range others {
		r.forms = r.spare.appendForms(r.forms, other)
	}
	return r.forms
}

// appendForms appends the form of a secret after each pass.
func (r *Room) appendForms(forms [][]byte, secret string) [][]byte {
	beginRoom(r, secret)
	for more := true; more; more = r.decode() {
		begin := len(r.arena)
		r.arena = append(r.arena, r.text...)
		if form := r.arena[begin:len(r.arena):len(r.arena)]; len(form) >= minNamed {
			forms = append(forms, form)
		}
	}
	return forms
}

// origin returns the position in the original of byte i of the text.
func (r *Room) origin(i int) int {
	if r.passes == 0 {
		return i
	}
	return int(r.start[i])
}

// mask overwrites the parts of original that appear as form in the text.
func (r *Room) mask(original, form []byte) {
	for from := 0; ; {
		i := bytes.Index(r.text[from:], form)
		if i < 0 {
			return
		}
		r.overwrite(original, from+i, from+i+len(form))
		from += i + 1
	}
}

func (r *Room) overwrite(original []byte, begin, end int) {
	for i := r.origin(begin); i < r.origin(end); i++ {
		original[i] = '*'
	}
}

// maskEnd overwrites the end of original if form begins there. An escape whose
// end was cut off does not hide the text before it.
func (r *Room) maskEnd(original, form []byte) {
	for end := len(r.text); end >= minCut && end >= len(r.text)-maxEscape; end-- {
		if end < len(r.text) && !isMark(r.text[end]) {
			continue
		}
		for n := min(end, len(form)-1); n >= minCut; n-- {
			if bytes.HasSuffix(r.text[:end], form[:n]) {
				r.overwrite(original, end-n, len(r.text))
				break
			}
		}
	}
}

// decode undoes one level of escapes. It returns false if there are no escapes.
func (r *Room) decode() bool {
	if !r.escaped || r.passes == maxPasses {
		return false
	}
	if r.passes == 0 {
		r.start = slices.Grow(r.start[:0], len(r.text)+1)[:len(r.text)+1]
		for i := range r.start {
			r.start[i] = int32(i)
		}
	}
	r.passes++
	r.escaped = false
	whole, n, changed := r.start[len(r.text)], 0, false
	for i := 0; i < len(r.text); {
		at := r.start[i]
		var char [utf8.UTFMax]byte
		size, length := decodeOne(r.text[i:], &char)
		if length == 0 {
			char[0], size, length = r.text[i], 1, 1
		} else {
			changed = true
		}
		i += length
		for _, c := range char[:size] { // never longer than its escape
			r.text[n], r.start[n] = lower(c), at
			r.escaped = r.escaped || isMark(c)
			n++
		}
	}
	r.text, r.start = r.text[:n], r.start[:n+1]
	r.start[n] = whole
	return changed
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// isMark reports whether c can begin an escape.
func isMark(c byte) bool { return c == '%' || c == '\\' || c == '&' || c == '+' }

// decodeOne decodes the escape at the beginning of s into to. It returns the
// number of decoded bytes, and the length of the escape or 0 if there is no
// escape. s is in lower case.
func decodeOne(s []byte, to *[utf8.UTFMax]byte) (size, length int) {
	var char rune
	switch s[0] {
	case '+':
		char, length = ' ', 1
	case '%':
		return decodePercent(s, to)
	case '\\':
		char, length = decodeBackslash(s)
	case '&':
		char, length = decodeEntity(s)
	}
	if length == 0 {
		return 0, 0
	}
	return utf8.EncodeRune(to[:], char), length
}

// decodePercent decodes %41, and %u0041 as JavaScript's escape function writes
// it.
func decodePercent(s []byte, to *[utf8.UTFMax]byte) (size, length int) {
	if n, ok := number(s[1:], 2, 16); ok {
		to[0] = byte(n)
		return 1, 3
	}
	if len(s) > 1 && s[1] == 'u' {
		if n, ok := number(s[2:], 4, 16); ok {
			return utf8.EncodeRune(to[:], n), 6
		}
	}
	return 0, 0
}

// decodeBackslash decodes the escapes of JSON and JavaScript that a URL can
// need.
func decodeBackslash(s []byte) (char rune, length int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '/', '\\', '"', '\'':
		return rune(s[1]), 2
	case 'x':
		if n, ok := number(s[2:], 2, 16); ok {
			return n, 4
		}
	case 'u':
		n, ok := number(s[2:], 4, 16)
		if !ok {
			return 0, 0
		}
		if low, ok := number(s[min(8, len(s)):], 4, 16); ok && utf16.IsSurrogate(n) && s[6] == '\\' && s[7] == 'u' {
			if pair := utf16.DecodeRune(n, low); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return n, 6
	}
	return 0, 0
}

// decodeEntity decodes the entities of HTML. Numeric entities may lack the
// semicolon.
func decodeEntity(s []byte) (char rune, length int) {
	if len(s) > 2 && s[1] == '#' {
		return decodeNumeric(s)
	}
	end := bytes.IndexByte(s[:min(len(s), maxEntity)], ';')
	if end < 0 {
		return 0, 0
	}
	decoded := html.UnescapeString(string(s[:end+1]))
	if char, size := utf8.DecodeRuneInString(decoded); size == len(decoded) && char != utf8.RuneError {
		return char, end + 1
	}
	return 0, 0
}

func decodeNumeric(s []byte) (char rune, length int) {
	begin, base := 2, 10
	if s[2] == 'x' {
		begin, base = 3, 16
	}
	end := begin
	for end < len(s) && end < maxEntity && digit(s[end], base) {
		end++
	}
	n, ok := number(s[begin:], end-begin, base)
	if !ok || n == 0 || !utf8.ValidRune(n) {
		return 0, 0
	}
	if end < len(s) && s[end] == ';' {
		return n, end + 1
	}
	if end == len(s) || isMark(s[end]) {
		return 0, 0 // the rest of it was cut off, or is an escape
	}
	return n, end
}

// number reads exactly length digits.
func number(s []byte, length, base int) (rune, bool) {
	if length == 0 || len(s) < length {
		return 0, false
	}
	for _, c := range s[:length] {
		if !digit(c, base) {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(string(s[:length]), base, 32)
	return rune(n), err == nil
}

func digit(c byte, base int) bool {
	return '0' <= c && c <= '9' || base == 16 && 'a' <= c && c <= 'f'
}
