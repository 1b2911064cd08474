package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/signer"
)

// finding is what verification found out about a request.
type finding struct {
	Kind   string `json:"kind"`
	OK     bool   `json:"ok"`
	Scheme string `json:"scheme,omitempty"`
	*fault
	Notes []string `json:"notes,omitempty"`
	// What the signature proves.
	ID   string    `json:"id,omitempty"`
	Time time.Time `json:"time,omitzero"`
	Key  string    `json:"key,omitempty"`
}

// examine verifies a request and explains what is wrong with it. Errors are
// mistakes in the call.
func examine(o schemeFlags, g ring, r *http.Request, body []byte) (finding, error) {
	s, o, found, err := chooseScheme(o, r.Header)
	if err != nil {
		return finding{}, err
	}
	f := finding{Kind: "verification", Scheme: s.name}
	if !found {
		f.fault = unknownScheme(r.Header)
		return f, nil
	}
	if !g.current.given() {
		return finding{}, usagef("no secret for -scheme %s; set %s or %s_FILE", s.name, secretVariable, secretVariable)
	}
	if names := redactedHeaders(r.Header); len(names) > 0 && s.header != "" && len(r.Header[s.header]) > 0 && r.Header[s.header][0] == redacted {
		f.fault = &fault{"redacted", "header " + s.header, "the credential was left out when the request was recorded", "Record with -keep-credentials to verify it later."}
		return f, nil
	}
	v, err := newVerifier(s, &o, g)
	if err != nil {
		return misreadSecret(s, o, g, r, body, f, err)
	}
	verified, err := v.Verify(r, body)
	if err == nil {
		f.OK, f.ID, f.Time, f.Key = true, verified.ID, verified.Timestamp, verified.Key
		return f, nil
	}
	if !errors.Is(err, signer.ErrUnverified) {
		return finding{}, usagef("-scheme %s: %s", s.name, plainError(oneLine(err.Error())))
	}
	why := explain(err)
	f.fault = &why
	f.refine(s, o, g, r, body, err)
	return f, nil
}

// chooseScheme takes -scheme, or the scheme of the headers.
func chooseScheme(o schemeFlags, h http.Header) (scheme, schemeFlags, bool, error) {
	if o.name != "" {
		s, err := schemeNamed(o.name)
		return s, o, true, err
	}
	if o.header != "" {
		s, err := schemeNamed("body-only")
		return s, o, true, err
	}
	s, o, found := detect(o, h)
	return s, o, found, nil
}

func redactedHeaders(h http.Header) (names []string) {
	for name, values := range h {
		if len(values) > 0 && values[0] == redacted {
			names = append(names, name)
		}
	}
	return names
}

// unknownScheme explains a request without a known signature.
func unknownScheme(h http.Header) *fault {
	for name := range h {
		if strings.Contains(strings.ToLower(name), "signature") {
			return &fault{
				"unknown-scheme", "header " + name, "no scheme has this header",
				"Give -scheme, with -header and -signature-prefix for a signature of the body, or -header-prefix for one of time and body.",
			}
		}
	}
	return &fault{
		"no-signature", "headers", "the request has no signature and no credential",
		"Let the sender sign. If it does, a proxy or a framework in between removes the headers.",
	}
}

// misreadSecret explains a secret that the scheme refuses. If the request
// verifies with another reading of the secret, it says which.
func misreadSecret(s scheme, o schemeFlags, g ring, r *http.Request, body []byte, f finding, refused error) (finding, error) {
	text := refused.Error()
	if !strings.HasPrefix(text, g.current.source) && (!g.previous.given() || !strings.HasPrefix(text, g.previous.source)) {
		return finding{}, refused
	}
	f.fault = &fault{"secret-invalid", partSecret, text, "Copy the secret again, without anything around it, and check how it gets into the variable."}
	if !s.standard || strings.HasPrefix(g.current.reveal(), "wh") {
		return f, nil
	}
	for _, reading := range []struct{ text, says string }{
		{"whsec_" + g.current.reveal(), "with whsec_ in front of the secret the signature matches: the prefix was cut off"},
		{"whsec_" + base64.StdEncoding.EncodeToString([]byte(g.current.reveal())), "the signature matches if the secret's text itself is the key: the sender does not decode it from base64"},
	} {
		if verifies(s, o, ring{current: newCredential(reading.text, g.current.source)}, r, body) {
			f.fault = &fault{
				"secret-form", partSecret, text + "; " + reading.says,
				"Give both sides a secret that begins with whsec_, such as one of hooktool secret, and let the sender decode it.",
			}
			return f, nil
		}
	}
	return f, nil
}

// refine tries what the library does not, and adds notes.
func (f *finding) refine(s scheme, o schemeFlags, g ring, r *http.Request, body []byte, err error) {
	switch {
	case errors.Is(err, signer.ErrTooOld), errors.Is(err, signer.ErrTooNew):
		f.besidesTime(s, o, g, r, body)
	case f.Code == "wrong-scheme" || f.Code == "missing-header":
		f.otherScheme(o, g, r, body)
	case f.Code == "secret-or-body":
		f.encodedBody(s, o, g, r, body)
		f.otherScheme(o, g, r, body)
	}
	if text := r.Header.Get("Content-Length"); text != "" {
		if n, err := strconv.Atoi(text); err == nil && n != len(body) {
			f.Notes = append(f.Notes, fmt.Sprintf("Content-Length is %d, but the body has %d bytes: it was cut off or changed after it was sent", n, len(body)))
		}
	}
	if len(body) == 0 && f.Part != partSecret {
		f.Notes = append(f.Notes, "the body is empty: was it read before it was verified?")
	}
	if len(body) > 64<<10 && strings.HasPrefix(f.Code, "secret-or-body") {
		f.Notes = append(f.Notes, "the body has more than 64 KiB, so no changes of it were tried")
	}
}

// besidesTime says whether the signature would be right at its own time.
func (f *finding) besidesTime(s scheme, o schemeFlags, g ring, r *http.Request, body []byte) {
	at, ok := signedTime(s, o, r.Header)
	if !ok {
		return
	}
	o.at = at
	v, err := newVerifier(s, &o, g)
	if err != nil {
		return
	}
	if _, err := v.Verify(r, body); err != nil {
		f.Notes = append(f.Notes, "the time is not all: "+explain(err).Why)
		return
	}
	f.Notes = append(f.Notes, "the signature itself is right, so only the time is wrong")
}

// signedTime reads the time that a request claims.
func signedTime(s scheme, o schemeFlags, h http.Header) (time.Time, bool) {
	text := h.Get(signer.HeaderTimestamp)
	switch s.name {
	case "timestamped":
		prefix := o.prefix
		if prefix == "" {
			prefix = "X-Webhook"
		}
		text = h.Get(prefix + "-Timestamp")
	case "stripe", "buildkite":
		for field := range strings.SplitSeq(h.Get(s.header), ",") {
			if name, value, _ := strings.Cut(field, "="); name == "t" || name == "timestamp" {
				text = value
			}
		}
	case "httpsig":
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err == nil
}

// otherScheme says whether the request verifies with another scheme whose
// header it has.
func (f *finding) otherScheme(o schemeFlags, g ring, r *http.Request, body []byte) {
	asked, h := f.Scheme, r.Header.Clone()
	o.name, o.header, o.mark = "", "", ""
	for range len(schemes()) {
		s, flags, found := detect(o, h)
		if !found {
			return
		}
		prefixed := s.name == asked && flags.prefix != o.prefix
		if s.name != asked || prefixed {
			verified := verifies(s, flags, g, r, body)
			if prefixed {
				f.Code, f.Part = "header-prefix", "header "+flags.prefix+"-Signature"
			} else if verified {
				f.Code, f.Part = "wrong-scheme", "scheme"
			}
			if verified || prefixed {
				f.Do = "Verify with " + flags.call(s) + ", or leave -scheme out."
			}
			if verified {
				f.Notes = append(f.Notes, "the request verifies with "+flags.call(s))
				return
			}
		}
		if s.header == "" || len(h[s.header]) == 0 {
			return
		}
		delete(h, s.header)
	}
}

func verifies(s scheme, o schemeFlags, g ring, r *http.Request, body []byte) bool {
	v, err := newVerifier(s, &o, g)
	if err != nil {
		return false
	}
	_, err = v.Verify(r, body)
	return err == nil
}

// call returns the flags that choose a scheme.
func (o *schemeFlags) call(s scheme) string {
	text := "-scheme " + s.name
	if o.prefix != "" {
		text += " -header-prefix " + o.prefix
	}
	return text
}

// encodedBody says whether the body verifies after it is decompressed.
func (f *finding) encodedBody(s scheme, o schemeFlags, g ring, r *http.Request, body []byte) {
	encoding := r.Header.Get("Content-Encoding")
	compressed := bytes.HasPrefix(body, []byte{0x1f, 0x8b})
	if !compressed {
		if encoding != "" && encoding != "identity" {
			f.fault = &fault{
				"body-decoded", partBody, f.Why + "; Content-Encoding is " + printable(encoding, 40) + ", but the body is not compressed: something decompressed it before it was verified",
				"Verify the bytes as they arrived, or send them uncompressed.",
			}
		}
		return
	}
	why := f.Why + "; the body is compressed with gzip"
	if raw, err := gunzip(body); err == nil {
		if verifies(s, o, g, r, raw) {
			why = "the signature matches the body after gzip is removed: the sender signs first and compresses later"
		}
	}
	f.fault = &fault{"body-compressed", partBody, why, "Send the body uncompressed, or sign the compressed bytes."}
}

func gunzip(body []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, maxRecord))
}
