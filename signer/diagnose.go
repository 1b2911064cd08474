package signer

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// diagnosis finds out, for the operator, what would have matched after nothing
// did. It works only after a failure, on bounded bodies, and at most once a
// second for each scheme. A flood of forgeries therefore costs one MAC per key.
// A nil diagnosis is turned off.
type diagnosis struct {
	next    atomic.Int64 // Unix nanoseconds
	running atomic.Bool
}

const (
	diagnosisPause = time.Second
	diagnosisBody  = 64 << 10
	// diagnosisSpelled bounds the bodies whose characters are written in other
	// ways, because each way multiplies the work.
	diagnosisSpelled = 16 << 10
	diagnosisKeys    = 4
	byteOrderMark    = "\ufeff"
	// Re-encoding costs time for each value, and indentation multiplies the size
	// of a deeply nested body. These bounds keep one diagnosis cheaper than the
	// MACs of a forged request of 1 MiB. No webhook comes near them.
	diagnosisTokens = 4096
	diagnosisIndent = 64 << 10
)

func (c *config) newDiagnosis() *diagnosis {
	if c.blind {
		return nil
	}
	return &diagnosis{}
}

// begin reports whether another diagnosis may run now. If so, the caller must
// call done. One diagnosis runs at a time, with a pause after each.
func (d *diagnosis) begin() bool {
	if time.Now().UnixNano() < d.next.Load() || !d.running.CompareAndSwap(false, true) {
		return false
	}
	return true
}

func (d *diagnosis) done() {
	d.next.Store(time.Now().Add(diagnosisPause).UnixNano())
	d.running.Store(false)
}

// content is a way to form the signed bytes. It has their name and the bytes
// before the body.
type content struct{ name, prefix string }

// explain returns "" or a hint that continues a sentence. forms[0] is what the
// scheme signs.
func (d *diagnosis) explain(h http.Header, own string, keys []*activeKey, macs [][macSize]byte, body []byte, forms ...content) string {
	if d == nil || len(body) > diagnosisBody || !d.begin() {
		return ""
	}
	defer d.done()
	if len(macs) == 0 {
		return otherSchemes(h, own) // nothing could match
	}
	bodies, tried := bodyVariants(body), 0
	for _, key := range keys {
		if key.mac == nil {
			continue
		}
		if tried++; tried > diagnosisKeys {
			break
		}
		if hint := explainKey(key, macs, body, bodies, forms); hint != "" {
			return "; " + hint
		}
	}
	return otherSchemes(h, own)
}

// explainKey returns "" or what matches with a key. No active key gave one of
// the MACs over the signed bytes as they are.
func explainKey(key *activeKey, macs [][macSize]byte, body []byte, bodies []bodyVariant, forms []content) string {
	fits := func(raw []byte, prefix string, body []byte) bool {
		mac := hmac.New(sha256.New, raw)
		mac.Write([]byte(prefix))
		mac.Write(body)
		return matches(mac.Sum(nil), macs)
	}
	raw := key.secret.bytes()
	if fits(raw, forms[0].prefix, body) {
		return key.name + " matches, but it is past its NotAfter time: the sender still signs with it"
	}
	for _, v := range bodies {
		if fits(raw, forms[0].prefix, v.body) {
			return fmt.Sprintf("%s matches the body %s: something rewrote it on the way, or what was signed is not what was sent", key.name, v.name)
		}
	}
	for _, v := range keyVariants(key.secret) {
		if fits(v.key, forms[0].prefix, body) {
			return fmt.Sprintf("%s matches when %s: the two sides read the secret differently", key.name, v.name)
		}
	}
	for _, form := range forms[1:] {
		if fits(raw, form.prefix, body) {
			return fmt.Sprintf("%s matches when only %q is signed: the sender uses another scheme", key.name, form.name)
		}
	}
	return ""
}

type bodyVariant struct {
	name string
	body []byte
}

// bodyVariants returns what common middleware makes of a body.
func bodyVariants(body []byte) []bodyVariant {
	variants := []bodyVariant{
		{"without the white space around it", bytes.TrimSpace(body)},
		{"with a line end after it", append(bytes.Clone(body), '\n')},
		{"with a byte order mark in front of it", append([]byte(byteOrderMark), body...)},
		{"with LF instead of CR LF as line ends", bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))},
		{"with CR LF instead of LF as line ends", bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))},
	}
	variants = append(variants, unwrapped(body)...)
	if rest, ok := bytes.CutPrefix(body, []byte(byteOrderMark)); ok {
		variants = append(variants, bodyVariant{"without the byte order mark in front of it", rest})
		body = rest
	}
	var compact, indented bytes.Buffer
	if !cheap(body) || json.Compact(&compact, body) != nil || json.Indent(&indented, body, "", "  ") != nil {
		return variants
	}
	forms := []bodyVariant{
		{"", body},
		{" was compacted", compact.Bytes()},
		{" was indented", indented.Bytes()},
		{" was re-encoded with blanks after commas and colons", spaced(compact.Bytes())},
	}
	if encoded := sorted(body); encoded != nil {
		forms = append(forms, bodyVariant{" was re-encoded with sorted keys", encoded}, bodyVariant{" was re-encoded with sorted keys and blanks", spaced(encoded)})
	}
	return append(variants, spellings(forms)...)
}

// unwrapped returns the body that a gateway or a framework has put into another
// encoding.
func unwrapped(body []byte) (variants []bodyVariant) {
	if raw, err := base64.StdEncoding.AppendDecode(nil, bytes.TrimSpace(body)); err == nil && len(raw) > 0 {
		variants = append(variants, bodyVariant{"after it was decoded from base64, as gateways for functions encode it", raw})
	}
	var text string
	if bytes.HasPrefix(body, []byte(`"`)) && json.Unmarshal(body, &text) == nil {
		variants = append(variants, bodyVariant{"inside the JSON string that arrived, which was encoded twice", []byte(text)})
	}
	// Only the first field is read, because an attacker could send many.
	if field, ok := bytes.CutPrefix(body, []byte("payload=")); ok {
		field, _, _ = bytes.Cut(field, []byte("&"))
		if value, err := url.QueryUnescape(string(field)); err == nil {
			variants = append(variants, bodyVariant{"of the form's field payload", []byte(value)})
		}
	}
	return variants
}

// spellings returns the forms of a JSON document with their characters written
// in other ways.
func spellings(forms []bodyVariant) (variants []bodyVariant) {
	for _, form := range forms {
		name, and := "after its JSON"+form.name, " and its"
		if form.name == "" {
			and = ""
		} else {
			variants = append(variants, bodyVariant{name, form.body})
		}
		if len(form.body) > diagnosisSpelled {
			continue
		}
		plain := withCharacters(form.body)
		for _, v := range []bodyVariant{
			{"escapes (\\u00e7) became characters", plain},
			{"characters became escapes (\\u00e7)", withEscapes(plain)},
			{"slashes and characters became escapes (\\/, \\u00e7)", bytes.ReplaceAll(withEscapes(plain), []byte("/"), []byte(`\/`))},
		} {
			if !bytes.Equal(v.body, form.body) {
				variants = append(variants, bodyVariant{name + and + " " + v.name, v.body})
			}
		}
	}
	return variants
}

// sorted re-encodes JSON with sorted keys. It returns nil if it can't.
func sorted(body []byte) []byte {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return nil
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	return encoded
}

// cheap reports whether re-encoding a body costs little. It also counts
// brackets and commas in strings.
func cheap(body []byte) bool {
	tokens, depth, indent := 0, 0, 0
	for _, c := range body {
		switch c {
		case '{', '[':
			depth++
		case '}', ']':
			depth = max(depth-1, 0)
		case ',':
		default:
			continue
		}
		tokens++
		indent += 1 + 2*depth // a line end and two blanks a level
	}
	return tokens <= diagnosisTokens && indent <= diagnosisIndent
}

// spaced writes compact JSON as Python's json.dumps does by default.
func spaced(compact []byte) []byte {
	out := make([]byte, 0, len(compact)+len(compact)/8)
	inString := false
	for i, c := range compact {
		out = append(out, c)
		switch {
		case c == '"' && !escaped(compact[:i]):
			inString = !inString
		case !inString && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return out
}

// escaped reports whether an odd number of backslashes ends before, so that the
// next character is escaped.
func escaped(before []byte) bool {
	return (len(before)-len(bytes.TrimRight(before, `\`)))%2 == 1
}

type keyVariant struct {
	name string
	key  []byte
}

// keyVariants returns the keys that a sender gets by misreading a secret.
func keyVariants(s Secret) []keyVariant {
	text := s.Reveal()
	encoded := strings.TrimPrefix(text, secretPrefix)
	variants := []keyVariant{
		{"a line end follows the secret, as in a file", []byte(text + "\n")},
		{"a line end (CR LF) follows the secret, as in a file", []byte(text + "\r\n")},
		{"quotation marks are around the secret", []byte(`"` + text + `"`)},
		{"a byte order mark is in front of the secret", []byte(byteOrderMark + text)},
	}
	if s.form == formStandard {
		return append(variants,
			keyVariant{"the secret's whole text is the key, not decoded from base64", []byte(text)},
			keyVariant{"the secret's text after whsec_ is the key, not decoded from base64", []byte(encoded)},
			keyVariant{"the secret's text after whsec_ and a line end are the key", []byte(encoded + "\n")})
	}
	if encoded != text {
		variants = append(variants, keyVariant{"the secret's text after whsec_ is the key", []byte(encoded)})
	}
	if raw, err := base64.StdEncoding.DecodeString(encoded); err == nil {
		variants = append(variants, keyVariant{"the secret is decoded from base64", raw})
	}
	return variants
}

// knownHeaders are the signature headers of the schemes that senders of
// deployment webhooks use.
var knownHeaders = [...]string{
	HeaderSignature, "X-Webhook-Signature", "X-Temps-Signature", stripeHeader, githubHeader, bitbucketHeader, gitlabHeader,
	"X-Vercel-Signature", "Heroku-Webhook-Hmac-Sha256", "Circleci-Signature", "X-Gogs-Signature", "X-Gitea-Signature",
	"X-Buildkite-Signature", "Svix-Signature", "Signature",
}

// otherSchemes returns "" or a hint that the request carries the header of a
// scheme other than own.
func otherSchemes(h http.Header, own string) string {
	var others []string
	for _, name := range knownHeaders {
		if name != own && len(h[name]) > 0 {
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		return ""
	}
	return "; the request carries " + strings.Join(others, ", ") + ": is this the right scheme?"
}

// spelling returns "" or a hint about a signature that is not spelled as the
// scheme prescribes.
func (d *diagnosis) spelling(signature string) string {
	if d == nil {
		return ""
	}
	return misspelt(signature)
}

// missing adds to an error about a missing header which other scheme's header
// is present.
func (d *diagnosis) missing(err error, h http.Header, own string) error {
	if d == nil {
		return err
	}
	return fmt.Errorf("%w%s", err, otherSchemes(h, own))
}
