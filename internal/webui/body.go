package webui

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// MaxShown bounds a text that a page shows in bytes, so that pages stay
	// small. The whole body is a download.
	MaxShown  = 6 << 10
	maxBinary = 512
)

// Body is the beginning of a body, as text.
type Body struct {
	Text   string
	Size   int
	Cut    bool
	Binary bool // Text has hexadecimal numbers
	Empty  bool
}

// NewBody returns what a page shows of a body.
func NewBody(body []byte) Body {
	b := Body{Size: len(body), Empty: len(body) == 0, Binary: !utf8.Valid(body), Cut: len(body) > MaxShown}
	if b.Binary {
		b.Text = strings.TrimSpace(fmt.Sprintf("% x", body[:min(len(body), maxBinary)]))
		b.Cut = len(body) > maxBinary
		return b
	}
	b.Text = Clip(string(body), MaxShown)
	return b
}

// Download answers with the exact bytes of a body. A browser saves them and
// never shows them. The file's name is that of an ID.
func Download(w http.ResponseWriter, id string, body []byte) {
	h := w.Header()
	Secure(h)
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+fileName(id)+`"`)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may have gone
}

func fileName(id string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, id) + ".bin"
}
