package sender

import (
	"context"
	"net/http"
	"time"
)

// Request is the request that an attempt would send, see [Sender.Preview].
type Request struct {
	// Method is POST.
	Method string
	// URL is the endpoint's URL. It may be a credential, so only [URL.Reveal]
	// shows it.
	URL URL
	// Header is the header that would be sent, signed now, with credentials
	// redacted as in [Attempt].RequestHeader. It lacks Host, Content-Length and
	// the headers that the connection adds.
	Header http.Header
	// Body is the message's.
	Body []byte
}

// Preview returns the request that an attempt would send now. It sends nothing
// and does not ask DNS. Its errors are those of an attempt that is refused
// before it connects. The signer gets ctx, with the attempt's timeout.
func (s *Sender) Preview(ctx context.Context, ep Endpoint, msg Message) (*Request, error) {
	var t target
	if err := s.resolve(&t, &ep); err != nil {
		return nil, err
	}
	if err := msg.check(s.maxBody); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	req, err := s.request(&trace{Context: ctx, start: time.Now(), url: t.url}, &t, &msg, nil)
	if err != nil {
		return nil, err
	}
	header, _ := redactRequest(nil, req.Header, &t, false)
	return &Request{Method: req.Method, URL: NewURL(t.url.String()), Header: header, Body: msg.Body}, nil
}
