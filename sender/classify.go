package sender

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// newAttemptError turns an error of the transport into one that has a class and
// shows no secret. ctx is the attempt's context, and at is the phase that the
// attempt reached.
func newAttemptError(ctx context.Context, t *target, err error, at progress) *AttemptError {
	e := &AttemptError{Endpoint: t.origin(), Class: classify(err), cause: err}
	switch {
	case e.Class == ClassPolicy && at.permitted:
		// The host has both forbidden and permitted addresses. Its name server
		// chooses their order, so a permitted address decides.
		e.Class, e.cause, err = ClassConnect, errSomeForbidden, errSomeForbidden
	case e.Class == ClassPolicy:
	case at.flooded:
		e.Class, e.cause, err = ClassProtocol, errors.Join(errInterim, err), errInterim
	case (e.Class == ClassTimeout || ctx.Err() != nil) && at.dialing:
		e.Class, e.cause, err = ClassConnect, errors.Join(context.DeadlineExceeded, err), errUnanswered
	case e.Class == ClassTimeout, ctx.Err() != nil:
		// The transport reports whatever the deadline happened to interrupt.
		e.Class, e.cause = ClassTimeout, errors.Join(context.DeadlineExceeded, err)
	case at.tlsFailed:
		e.Class = ClassTLS
	case e.Class == ClassProtocol && !at.gotByte:
		// net/http has errors without a type for a connection that was closed while
		// idle.
		e.Class = ClassReset
	}
	e.detail = detail(e.Class, err, t)
	return e
}

// progress is how far an attempt came before it failed.
type progress struct {
	permitted bool // the guard let an address pass
	dialing   bool // an address was dialled, and nothing was connected yet
	tlsFailed bool
	gotByte   bool
	flooded   bool
}

var (
	errSomeForbidden = errors.New("no permitted address of the host accepts connections, and its others are forbidden")
	errUnanswered    = errors.New("the host does not answer connection attempts")
)

// classify goes by types, never by an error's text.
func classify(err error) Class {
	var (
		refused *violation
		proxy   *proxyError
		dns     *net.DNSError
		op      *net.OpError
	)
	switch {
	case errors.As(err, &refused):
		return ClassPolicy
	case errors.As(err, &proxy):
		if isTimeout(err) {
			return ClassTimeout
		}
		return ClassProxy
	case errors.As(err, &dns):
		return ClassDNS
	case errors.As(err, &op) && op.Op == "dial":
		return ClassConnect // also where the dial's own time was up
	case isTimeout(err):
		return ClassTimeout
	case isCertificate(err), isAlert(err):
		return ClassTLS
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed), errors.As(err, &op):
		return ClassReset
	default:
		return ClassProtocol
	}
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

func isCertificate(err error) bool {
	var (
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		host   x509.HostnameError
		ca     x509.UnknownAuthorityError
		bad    x509.CertificateInvalidError
	)
	return errors.As(err, &cert) || errors.As(err, &record) ||
		errors.As(err, &host) || errors.As(err, &ca) || errors.As(err, &bad)
}

// isAlert reports whether the endpoint ended the connection with a TLS alert.
// With TLS 1.3 the one about a missing client certificate comes after the
// handshake.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// detail is the part of an error's text that follows the class. It is empty for
// answers that are not HTTP, because the endpoint wrote that text and may echo
// the request in it.
func detail(class Class, err error, t *target) string {
	switch class {
	case ClassPolicy:
		var refused *violation
		if errors.As(err, &refused) {
			return refused.reason
		}
	case ClassProxy:
		var proxy *proxyError
		if errors.As(err, &proxy) {
			return clean(proxy.text)
		}
	case ClassDNS:
		var dns *net.DNSError
		if errors.As(err, &dns) {
			return clean(dns.Err)
		}
	case ClassConnect:
		return clean(t.hidden.Text(err.Error()))
	case ClassTLS:
		if record := (tls.RecordHeaderError{}); errors.As(err, &record) {
			return "the endpoint does not speak TLS; is it http?"
		}
		if isAlert(err) {
			return clean(t.hidden.Text(err.Error())) + " (" + t.cert.hint(time.Now()) + ")"
		}
		return clean(t.hidden.Text(err.Error())) + " (WithRootCAs adds certificate authorities)"
	case ClassProtocol:
		if errors.Is(err, errInterim) {
			return errInterim.Error()
		}
	}
	return ""
}

// clean makes a foreign text safe for a log. The result is one line of at most
// 256 bytes without control characters.
func clean(text string) string {
	if len(text) > 256 {
		text = text[:256]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, text)
}

// statusError is the error of an answer that was not 2xx.
func statusError(origin string, status int) *AttemptError {
	text := http.StatusText(status)
	if text == "" {
		text = "no known status"
	}
	return &AttemptError{Endpoint: origin, Class: ClassStatus, Status: status, detail: strconv.Itoa(status) + " " + text}
}
