package sender

import (
	"io"
	"net/http"
)

// read fills the record from an answer and closes its body. It reads at most
// maxDrained bytes. A short body is read to its end, so that the connection can
// be used again. Otherwise the connection is closed.
func (s *Sender) read(a *Attempt, resp *http.Response) {
	defer resp.Body.Close()
	a.Status, a.ResponseHeader = resp.StatusCode, resp.Header
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return // the attempt did not ask for it, and what follows is not a body
	}
	buf := s.buffers.Get().(*[maxRecorded]byte)
	defer s.buffers.Put(buf)
	n, err := readUpTo(resp.Body, buf[:])
	if n > 0 {
		a.Body = append(make([]byte, 0, n), buf[:n]...)
	}
	if err == nil {
		err = drain(a, resp, buf)
	}
	if err != io.EOF {
		a.Truncated = true
	}
}

// drain reads on after maxRecorded bytes. Only io.EOF means that the body
// ended.
func drain(a *Attempt, resp *http.Response, buf *[maxRecorded]byte) error {
	if resp.ContentLength > maxDrained {
		return nil
	}
	for total := maxRecorded; total < maxDrained; {
		n, err := readUpTo(resp.Body, buf[:])
		if n > 0 {
			a.Truncated = true
		}
		if err != nil {
			return err
		}
		total += n
	}
	return nil
}

// readUpTo fills p. Unlike io.ReadFull it distinguishes the end of the body
// from a body that broke off.
func readUpTo(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	if n == len(p) && err == nil {
		return n, nil
	}
	return n, err
}
