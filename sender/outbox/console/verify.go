package console

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/deployhook/deployhook/signer"
)

// verdict says which parts of a pasted request are right.
type verdict struct {
	Good  bool
	Parts []part
}

// part is one thing that was checked.
type part struct {
	Class, Name, Text string
}

// verifySignature checks what a receiver got. It changes nothing, but is a
// POST, since a signature does not belong in a URL.
func verifySignature(v *view) error {
	p, err := v.delivery()
	if err != nil {
		return err
	}
	p.Headers, p.Received = v.text("headers"), v.text("received")
	body := receivedBody(p.Received, p.D.Body)
	header, ok := parseHeader(pasted(p.Headers))
	if !ok || len(header) == 0 {
		p.Verify = &verdict{Parts: []part{{"bad", "Headers", "Paste the headers with their names, one on a line, as in Webhook-Timestamp: 1773325321."}}}
		return v.renderDelivery(p)
	}
	_, err = v.app.VerifyRequest(v.ctx(), p.D.ID, header, body)
	if err != nil && !errors.Is(err, signer.ErrUnverified) {
		return err
	}
	p.Verify = judge(p, header, body, err)
	return v.renderDelivery(p)
}

// pasted removes what tools write around headers.
func pasted(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		for _, before := range []string{"-H ", "--header ", "< ", "> "} {
			line = strings.TrimPrefix(line, before)
		}
		line = strings.TrimSpace(strings.TrimSuffix(line, `\`))
		out.WriteString(strings.Trim(line, `'"`) + "\n")
	}
	return out.String()
}

// receivedBody is the body that was pasted, or the one that was sent. A form
// has CR LF where the text had LF.
func receivedBody(text string, sent []byte) []byte {
	if text == "" {
		return sent
	}
	if !bytes.Contains(sent, []byte("\r\n")) {
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	return []byte(text)
}

// judge says which part is wrong.
func judge(p *deliveryView, header http.Header, body []byte, err error) *verdict {
	out := &verdict{Good: err == nil}
	add := func(class, name, text string) { out.Parts = append(out.Parts, part{class, name, text}) }
	if id := header.Get(signer.HeaderID); id != "" && id != p.D.ID {
		add("bad", "ID", "This is not the ID of this delivery. Open the delivery with that ID.")
	} else if id != "" {
		add("good", "ID", "It is the ID of this delivery.")
	}
	if text := header.Get(signer.HeaderTimestamp); text != "" {
		class, says := timestampPart(text, p.Attempts)
		add(class, "Timestamp", says)
	}
	switch at := difference(body, p.D.Body); {
	case p.Received == "":
		add("idle", "Body", "Nothing was pasted, so the bytes that were sent are used.")
	case at < 0:
		add("good", "Body", "It is what was sent, byte for byte.")
	default:
		add("bad", "Body", fmt.Sprintf("It differs from what was sent, first at byte %d. Verify the bytes as they arrive, before anything parses them.", at))
	}
	if err == nil {
		add("good", "Signature", "It is valid. If your receiver refuses it, your receiver has another secret, or verifies other bytes.")
	} else {
		add("bad", "Signature", sentence(err))
	}
	return out
}

func timestampPart(text string, attempts []attemptRow) (class, says string) {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return "bad", "It must be a number of seconds since 1970."
	}
	for _, a := range attempts {
		if d := a.Start.Unix() - seconds; d >= -2 && d <= 2 {
			return "good", "It is that of attempt " + strconv.Itoa(a.Number) + "."
		}
	}
	return "wait", "No attempt of this delivery was made at that time."
}

// difference returns the index of the first byte that differs, or -1.
func difference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// sentence makes a sentence of what package signer says.
func sentence(err error) string {
	if errors.Is(err, signer.ErrTooOld) {
		return "The timestamp is more than 24 hours old, so the signature can't be checked. Send the delivery again, and paste the new headers."
	}
	text := strings.TrimPrefix(err.Error(), signer.ErrUnverified.Error()+": ")
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:] + "."
}
