package receiver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/deployhook/deployhook/internal/nilable"
)

// Wrap returns plain middleware: next is called only for verified, first-time deliveries and reads the same bytes from
// the request's body; [FromContext] has the rest. The body is not decoded, so any signed JSON passes.
//
// A 2xx from next means that the delivery took effect; any other status, a panic, or a context that ended before next
// wrote anything means that it did not, and a retry will call next again. next's response is kept back until that is
// settled, so it can't be streamed, flushed or hijacked. A panic is answered with 500. If next is nil, every delivery is
// answered with 503.
func (rc *Receiver) Wrap(next http.Handler) http.Handler {
	var problem error
	if nilable.IsNil(next) {
		problem = configError("Wrap: the handler is nil")
	}
	return rc.mount(wrapConsumer{next: next}, problem)
}

type wrapConsumer struct{ next http.Handler }

func (c wrapConsumer) takesCloudEvents() bool { return true }

func (c wrapConsumer) prepare(*http.Request, *Delivery) error { return nil }

func (c wrapConsumer) consume(ctx context.Context, r *http.Request, d *Delivery) (answer, error) {
	r = r.WithContext(ctx)
	r.Body = io.NopCloser(bytes.NewReader(d.Body))
	r.ContentLength = int64(len(d.Body))
	r.TransferEncoding = nil
	rec := recorder{header: make(http.Header)}
	c.next.ServeHTTP(&rec, r)
	if rec.status == 0 {
		// Returning without a word is success, except when the context told it to stop.
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

// recorder keeps a response until the claim is settled.
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
