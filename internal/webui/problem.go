package webui

import (
	"mime"
	"net/http"
	"time"
)

// Problem is a page that says why there is no other, and what to do. The block
// "failure" shows it. It is an error for calls that end with such a page.
type Problem struct {
	Status int
	Title  string
	Text   string
	Do     string
	// Href is relative to the page. There is no link without it.
	Href, Link string
}

func (p *Problem) Error() string { return "console: " + p.Title }

// Problems that both consoles have. Nothing may change them.
var (
	ErrUnknownPage = &Problem{Status: 404, Title: "Not found", Text: "There is no such page.", Do: "It may have been deleted, or the address is incomplete."}
	ErrMethod      = &Problem{Status: 405, Title: "Not possible", Text: "This page can't be asked for like that.", Do: "Go back and use the button on the page."}
	ErrCrossOrigin = &Problem{Status: 403, Title: "Refused", Text: "The request came from a page of another site.", Do: "Open the console and do it there. Nothing was changed."}
	ErrReadOnly    = &Problem{Status: 403, Title: "Read only", Text: "You may read here, but not change anything.", Do: "Ask an administrator of your account. Nothing was changed."}
	ErrForm        = &Problem{Status: 400, Title: "Not understood", Text: "The form could not be read.", Do: "Go back and send it again. A body may have up to 1 MiB."}
)

// SetHeaders sets the headers that an answer with the problem needs besides
// those of every page.
func (p *Problem) SetHeaders(h http.Header) {
	switch p.Status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	case http.StatusTooManyRequests:
		h.Set("Retry-After", "60")
	case http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD")
	}
}

const (
	// maxForm bounds a form in bytes. The largest one has a body to verify.
	maxForm = 1 << 20
	// readTimeout is how long a form may take to arrive.
	readTimeout = 30 * time.Second
)

// ReadForm reads the form of a POST, so that nothing waits for a slow client
// later. It returns [ErrForm] for a request that is no form, or is too large.
func ReadForm(w http.ResponseWriter, r *http.Request) error {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
		return ErrForm
	}
	rc := http.NewResponseController(w)
	limited := rc.SetReadDeadline(time.Now().Add(readTimeout)) == nil
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return ErrForm
	}
	if limited {
		_ = rc.SetReadDeadline(time.Time{}) // the server reads on to notice a disconnect
	}
	return nil
}
