package redact

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
)

const (
	// minSecret is the least length of what is hidden. A shorter text occurs by
	// chance, and hiding it would garble what the text says.
	minSecret = 8
	// minNamed is the least length of the value of a parameter that IsCredential.
	minNamed = 4
	// longSegment is the length from which a segment is hidden whatever it is made of.
	longSegment = 16
	// minCut is how much of a secret at a cut end is hidden.
	minCut = 3
	// maxSecrets bounds the search for URLs that are made of segments.
	maxSecrets = 64
)

// URL hides what of a URL may be a credential from the texts of its server: errors,
// answers and headers. Where Text looks for any URL, this knows the one that was
// used, and finds its parts alone and in other encodings.
//
// These parts are hidden if they have at least 8 bytes:
//
//   - the path, the query and both together,
//   - the rest of the path from any segment on, unless all of it is common words,
//   - a segment with 16 bytes, a digit, or letters of both cases,
//   - the last segment, and each value of the query,
//   - the pieces of these between the characters : ; , = and @.
//
// A segment or value of common words, such as webhooks or incoming-webhook, is not
// hidden alone. The value of a parameter whose name speaks of a credential is
// hidden if it has at least 4 bytes.
//
// The case of letters is ignored. Percent-encoding and the escapes of JSON and HTML
// are undone, up to eight of them inside each other. Other encodings, such as
// base64, are not.
type URL struct{ forms [][]byte }

// NewURL returns what hides u.
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
		hides.forms[i] = bytes.Clone(form) // not the room's
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

// maxTails bounds from how many segments the rest of a path is hidden.
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

// tells reports whether a part is hidden where it stands alone.
func tells(part string, last bool) bool {
	return len(part) >= minSecret && uncommon(part) && (last || len(part) >= longSegment || mixed(part))
}

// mixed reports whether a text has a digit, or letters of both cases.
func mixed(text string) bool {
	return strings.ContainsAny(text, "0123456789") || strings.ToLower(text) != text && strings.ToUpper(text) != text
}

// commonWords are what paths of webhooks are made of beside credentials.
const commonWords = " api app apps actions bot build builds callback callbacks channel channels ci delivery deliveries deploy" +
	" deployed deployment deployments endpoint endpoints event events github gitlab hook hooks http https in inbound incoming" +
	" ingest integration integrations internal listener message messages notification notifications notify of project projects" +
	" public receive receiver release releases rest send service services status team teams test trigger triggers update" +
	" updates v webhook webhooks workflow workflows "

// maxVersion is how many digits a common word may end with, as in v2.
const maxVersion = 2

// uncommon reports whether a text is more than common words and numbers of versions.
func uncommon(text string) bool {
	for word := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return strings.ContainsRune("-_.", r) }) {
		name := strings.TrimRight(word, "0123456789")
		if len(word)-len(name) > maxVersion || !strings.Contains(commonWords, " "+name+" ") {
			return true
		}
	}
	return false
}

// Hide overwrites with asterisks what of text may be a credential, and the other
// secrets with it. A text that may have lost its end is cut: there the beginning
// of a secret is hidden, too. Hide keeps the length.
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

// Text is Hide for a whole text that is rarely needed, such as an error's.
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
