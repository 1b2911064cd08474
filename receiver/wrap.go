package receiver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/deployhook/deployhook/internal/nilable"
)

// Wrap returns plain middleware. It calls next only for verified, first-time
// deliveries, with the same bytes as the request's body. [FromContext] returns
// the rest of the delivery. The body is not decoded, so any signed JSON passes.
// If next is nil, every delivery is answered with 503.
//
//	next                                        answer           a retry calls next
//	writes a 2xx, or returns without writing    next's           no
//	writes another status                       next's           yes
//	panics                                      500              yes
//	returns without writing, its context ended  500              yes
//
// The response of next is buffered until the claim is completed or released. It
// cannot be streamed, flushed or hijacked.
func (rc *Receiver) Wrap(next http.Handler) http.Handler {
	var problem error
	if nilable.IsNil(next) {
		problem = configError("Wrap: the handler is nil; pass an http.Handler")
	}
	return rc.mount(wrapConsumer{next: next}, problem)
}

type wrapConsumer struct{ next http.Handler }

func (c wrapConsumer) takesCloudEvents() bool { return true }

func (c wrapConsumer) prepare(context.Context, *Delivery) error { return nil }

func (c wrapConsumer) consume(ctx context.Context, r *http.Request, d *Delivery) (answer, error) {
	r = r.WithContext(ctx)
	r.Body = io.NopCloser(bytes.NewReader(d.Body))
	r.ContentLength = int64(len(d.Body))
	r.TransferEncoding = nil
	rec := recorder{header: make(http.Header)}
	c.next.ServeHTTP(&rec, r)
	if rec.status == 0 {
		// A handler that writes nothing succeeded, unless its context ended
		// first.
		if err := context.Cause(ctx); err != nil {
			return failedAnswer(), fmt.Errorf("receiver: the context ended before the wrapped handler answered: %w", err)
		}
		rec.status = http.StatusOK
	}
	a := answer{status: rec.status, header: rec.header, body: rec.body.String()}
	if !a.isSuccess() {
		return a, fmt.Errorf("receiver: the wrapped handler answered %d", a.status)
	}
	return a, nil
}

// recorder buffers a response until the claim is completed or released.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("receiver: invalid status %d", status)) // as net/http does
	}
	if r.status == 0 && status >= 200 {
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}
