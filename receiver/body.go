package receiver

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

var (
	errTooBig  = errors.New("receiver: body over the limit")
	errTooSlow = errors.New("receiver: body not sent in time")
	errCut     = errors.New("receiver: body ended early")
	errRead    = errors.New("receiver: other code read the body before the receiver; " +
		"run the receiver before it, or set r.Body to a new reader of the same bytes")
)

// firstBuffer bounds the memory that a Content-Length header alone can make the
// receiver allocate. It allocates more only for bytes that were sent.
const firstBuffer = 64 << 10

// limitBody gives the sender until bodyTimeout after the request's start to
// send its body. It must run first. After a refusal net/http reads up to 256
// KiB of the remaining body, and without a deadline the sender decides how long
// that takes.
func (rc *Receiver) limitBody(w http.ResponseWriter, r *http.Request, start time.Time) {
	if !hasBody(r) {
		return
	}
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(start.Add(rc.bodyTimeout)); err != nil {
		noDeadline := err // a copy, so that err does not escape to the heap
		rc.noDeadline.CompareAndSwap(nil, &noDeadline)
	}
}

// warnOfDeadline logs once that bodies have no deadline. It runs after the
// answer is sent, so the answer does not wait for the log.
func (rc *Receiver) warnOfDeadline() {
	if err := rc.noDeadline.Load(); err != nil && rc.warned.CompareAndSwap(false, true) {
		rc.logger.Warn("webhook bodies have no deadline: this ResponseWriter does not support SetReadDeadline; "+
			"set http.Server.ReadTimeout, or give the wrapping ResponseWriter an Unwrap method", "error", *err)
	}
}

// unlimitBody removes the deadline after the body was read. net/http removes it
// only if it sees the end of the body itself. Behind middleware that buffers
// the body, the deadline would stay and end the handler's context.
func unlimitBody(w http.ResponseWriter, r *http.Request) {
	if hasBody(r) {
		// An error means that limitBody could not set a deadline either. That
		// was logged.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	}
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// readBody reads at most maxBody bytes until the deadline that limitBody set.
func (rc *Receiver) readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > rc.maxBody {
		return nil, errTooBig
	}
	var body []byte
	var err error
	if hasBody(r) {
		body, err = readAll(r.Body, r.ContentLength, rc.maxBody)
	}
	switch {
	case err == nil && len(body) == 0 && r.ContentLength > 0:
		return nil, errRead // net/http returns an error when the sender closes the connection early
	case err == nil:
		return body, nil
	// the second error comes from http.MaxBytesHandler in front of the receiver
	case errors.Is(err, errTooBig), errors.As(err, new(*http.MaxBytesError)):
		return nil, errTooBig
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errTooSlow
	}
	return nil, errors.Join(errCut, err)
}

// readAll reads src into one buffer, up to limit. declared is the
// Content-Length, or -1 if it is unknown. If declared is larger than what
// arrives, the buffer is at most firstBuffer or twice the bytes that were sent.
func readAll(src io.Reader, declared, limit int64) ([]byte, error) {
	size := int64(512)
	if declared >= 0 {
		size = declared
	}
	// One extra byte lets Read report the end without growing the buffer.
	buf := make([]byte, 0, min(size, firstBuffer, limit)+1)
	for {
		n, err := src.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return nil, errTooBig
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(2*int64(cap(buf)), limit+1))
			copy(grown, buf)
			buf = grown
		}
	}
}
