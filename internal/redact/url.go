package redact

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
)

const (
	// minSecret is the minimum length of a hidden text. A shorter text may
	// occur by chance, and hiding it would make the message unreadable.
	minSecret = 8
	// minNamed is the minimum length of the value of a parameter for which
	// IsCredential is true.
	minNamed = 4
	// longSegment is the length from which a segment is always hidden.
	longSegment = 16
	// minCut is the minimum length of the beginning of a secret that is hidden
	// at a cut end.
	minCut = 3
	// maxSecrets limits the search for URLs with many segments.
	maxSecrets = 64
)

// URL hides the possible credentials of a URL in texts from its server, such as
// errors, answers and headers. Unlike Text, which looks for any URL, it knows
// the URL. It also finds the URL's parts alone and in other encodings.
//
// These parts are hidden if they have at least 8 bytes:
//
//   - the path, the query and both together,
//   - the rest of the path from any segment on, unless it consists of common
//     words,
//   - a segment with 16 bytes, a digit, or letters of both cases,
//   - the last segment, and each value of the query,
//   - the pieces of these between the characters : ; , = and @.
//
// A segment or value of common words, such as webhooks or incoming-webhook, is
// not hidden alone. The value of a parameter whose name suggests a credential
// is hidden if it has at least 4 bytes.
//
// Upper and lower case are equal. Percent-encoding and the escapes of JSON and
// HTML are decoded, up to eight nested ones. Other encodings, such as base64,
// are not.
type URL struct{ forms [][]byte }

// NewURL returns a URL that hides u.
func NewURL(u *url.URL) *URL {
	found := &collection{}
	found.add(u.EscapedPath(), minSecret)
	found.add(u.RequestURI(), minSecret)
	found.add(u.RawQuery, minSecret)
	found.addPath(u.EscapedPath())
	found.addQuery(u.RawQuery)
	slices.SortFunc(found.texts, func(a, b string) int { return len(b) - len(a) })
	hides, room := &URL{}, NewRoom()
	for _, text := range found.texts[:min(len(found.texts), maxSecrets)] {
		hides.forms = room.appendForms(hides.forms, text)
	}
	for i, form := range hides.forms {
		// The clone does not share the room's memory.
		hides.forms[i] = bytes.Clone(form)
	}
	return hides
}

// collection gathers the secret parts of a URL, each once.
type collection struct{ texts []string }

func (c *collection) add(text string, least int) {
	if len(text) >= least && !slices.Contains(c.texts, text) {
		c.texts = append(c.texts, text)
	}
}

// maxTails is the maximum number of segments from which the rest of a path is
// hidden.
const maxTails = 16

func (c *collection) addPath(path string) {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		if tail := segments[i:]; len(tail) <= maxTails && !last && slices.ContainsFunc(tail, uncommon) {
			c.add(strings.Join(tail, "/"), minSecret)
		}
		c.addPart(segment, last)
	}
}

// addPart adds a segment or value and its pieces.
func (c *collection) addPart(part string, last bool) {
	if tells(part, last) {
		c.add(part, minSecret)
	}
	if !strings.ContainsAny(part, ":;,=@") {
		return
	}
	for piece := range strings.FieldsFuncSeq(part, func(r rune) bool { return strings.ContainsRune(":;,=@", r) }) {
		if tells(piece, last) {
			c.add(piece, minSecret)
		}
	}
}

func (c *collection) addQuery(query string) {
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" {
			name, value = "", name // ?TOKEN
		}
		if IsCredential(name) {
			c.add(value, minNamed)
		}
		c.addPart(value, true)
	}
}

// tells reports whether a part is hidden if it stands alone.
func tells(part string, last bool) bool {
	return len(part) >= minSecret && uncommon(part) && (last || len(part) >= longSegment || mixed(part))
}

// mixed reports whether a text has a digit, or letters of both cases.
func mixed(text string) bool {
	return strings.ContainsAny(text, "0123456789") || strings.ToLower(text) != text && strings.ToUpper(text) != text
}

// commonWords are the words in the paths of webhooks that are not credentials.
const commonWords = " api app apps actions bot build builds callback callbacks channel channels ci delivery deliveries deploy" +
	" deployed deployment deployments endpoint endpoints event events github gitlab hook hooks http https in inbound incoming" +
	" ingest integration integrations internal listener message messages notification notifications notify of project projects" +
	" public receive receiver release releases rest send service services status team teams test trigger triggers update" +
	" updates v webhook webhooks workflow workflows "

// maxVersion is the maximum number of digits at the end of a common word, as in
// v2.
const maxVersion = 2

// uncommon reports whether a text is more than common words and version
// numbers.
func uncommon(text string) bool {
	for word := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return strings.ContainsRune("-_.", r) }) {
		name := strings.TrimRight(word, "0123456789")
		if len(word)-len(name) > maxVersion || !strings.Contains(commonWords, " "+name+" ") {
			return true
		}
	}
	return false
}

// Hide overwrites possible credentials of the URL, and the other secrets, with
// asterisks in text. cut means that the text may have lost its end. Hide then
// also hides the beginning of a secret there. It does not change the length.
func (u *URL) Hide(room *Room, text []byte, cut bool, others ...string) {
	if len(text) < minCut {
		return
	}
	beginRoom(room, text)
	defer room.end()
	forms := room.with(u.forms, others)
	for more := true; more; more = room.decode() {
		for _, form := range forms {
			room.mask(text, form)
			if cut {
				room.maskEnd(text, form)
			}
		}
	}
}

// Text is Hide for a whole text that is rarely needed, such as an error.
func (u *URL) Text(text string, others ...string) string {
	hidden := []byte(text)
	u.Hide(NewRoom(), hidden, false, others...)
	return string(hidden)
}

// In reports whether Hide would change text.
func (u *URL) In(room *Room, text string, others ...string) bool {
	if len(text) < minNamed {
		return false
	}
	beginRoom(room, text)
	defer room.end()
	forms := room.with(u.forms, others)
	for more := true; more; more = room.decode() {
		for _, form := range forms {
			if bytes.Contains(room.text, form) {
				return true
			}
		}
	}
	return false
}
