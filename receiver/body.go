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
	errRead    = errors.New("receiver: the body is gone: something in front of the receiver has read it; " +
		"mount the receiver first, or give the request a new body")
)

// firstBuffer bounds what a declared length alone makes us allocate: a peer has to send bytes to get more.
const firstBuffer = 64 << 10

// limitBody gives the peer until bodyTimeout after the request's start to send its body. It comes before anything else,
// since net/http reads what a refusal leaves of the body, up to 256 KiB and for as long as the peer likes.
func (rc *Receiver) limitBody(w http.ResponseWriter, r *http.Request, start time.Time) {
	if !hasBody(r) {
		return
	}
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(start.Add(rc.bodyTimeout)); err != nil {
		noDeadline := err // err itself stays on the stack
		rc.noDeadline.CompareAndSwap(nil, &noDeadline)
	}
}

// warnOfDeadline writes the one warning that bodies have no deadline. It comes
// after an answer, which must not wait for the log.
func (rc *Receiver) warnOfDeadline() {
	if err := rc.noDeadline.Load(); err != nil && rc.warned.CompareAndSwap(false, true) {
		rc.logger.Warn("webhook bodies have no deadline: this ResponseWriter does not support SetReadDeadline; "+
			"set http.Server.ReadTimeout, or give the wrapping ResponseWriter an Unwrap method", "error", *err)
	}
}

// unlimitBody lifts the deadline when the body has been read. net/http lifts it
// only if the body ends under the deadline. Behind middleware that has buffered
// the body, it would stay and end the handler's context.
func unlimitBody(w http.ResponseWriter, r *http.Request) {
	if hasBody(r) {
		// An error means that no deadline could be set either, which was logged.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	}
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// readBody reads at most maxBody bytes, until the deadline that limitBody has set.
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
		return nil, errRead // net/http reports a body that the sender cut as an error
	case err == nil:
		return body, nil
	case errors.Is(err, errTooBig), errors.As(err, new(*http.MaxBytesError)): // the latter from a handler in front
		return nil, errTooBig
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errTooSlow
	}
	return nil, errors.Join(errCut, err)
}

// readAll reads src into one buffer of the declared length (-1: unknown), within the limit. A length that lies gets
// no more memory than twice what was really sent, or firstBuffer.
func readAll(src io.Reader, declared, limit int64) ([]byte, error) {
	size := int64(512)
	if declared >= 0 {
		size = declared
	}
	// One byte more than expected, so that the end is seen without growing.
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
