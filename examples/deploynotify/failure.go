package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/deployhook/deployhook/sender"
)

// ended says why the work had to stop.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("gave up: -timeout is over")
	}
	return errors.New("interrupted by a signal")
}

// failure makes one line of why it was not delivered, and says what to do.
func (o *options) failure(ctx context.Context, s surroundings, receipt *sender.Receipt, err error) error {
	n := len(receipt.Attempts)
	if n == 0 {
		return o.refusal(err)
	}
	last := receipt.Attempts[n-1]
	parts := []string{o.gaveUp(ctx, receipt, last, err), o.lastAttempt(last)}
	if name := o.ignoredProxy(s); name != "" && last.Status == 0 {
		parts = append(parts, name+" is set and ignored, and -proxy env uses it")
	}
	return errors.New(strings.Join(parts, ": "))
}

// gaveUp says after which attempt and why there was no other.
func (o *options) gaveUp(ctx context.Context, receipt *sender.Receipt, last sender.Attempt, err error) string {
	after := " after " + attempts(last.Number)
	switch {
	case receipt.Outcome == sender.Canceled:
		return ended(ctx).Error() + after
	case receipt.Outcome == sender.Failed && !errors.Is(err, sender.ErrExhausted):
		return "gave up" + after + ": the next retry would come after -timeout"
	}
	return "gave up" + after
}

// lastAttempt describes the last attempt, and what to look at.
func (o *options) lastAttempt(a sender.Attempt) string {
	text := "POST " + o.origin() + ": "
	switch a.Class {
	case sender.ClassStatus:
		return text + o.answer(a)
	case sender.ClassPolicy:
		return text + o.forbidden(a)
	case sender.ClassTLS:
		return text + tlsFailure(a.Err)
	case sender.ClassCanceled:
		return text + "no answer yet"
	}
	var attempt *sender.AttemptError
	if errors.As(a.Err, &attempt) {
		return oneLine(attempt)
	}
	return text + string(a.Class)
}

// answer describes an answer that is not 2xx.
func (o *options) answer(a sender.Attempt) string {
	text := oneLine(a.Err)
	if _, detail, ok := strings.Cut(text, "answered: "); ok {
		text = detail
	}
	switch {
	case a.Status >= 300 && a.Status <= 399:
		return text + "; give the new address with -url"
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden:
		return text + "; is the secret the receiver's, and the -scheme the one that it expects?"
	case a.Status == http.StatusBadRequest:
		return text + "; it says " + strconv.QuoteToASCII(fmt.Sprintf("%.200s", a.Body))
	case a.Status == http.StatusGone:
		return text + "; the receiver wants no more deliveries"
	}
	return text
}

// forbidden describes an address that the host resolved to.
func (o *options) forbidden(a sender.Attempt) string {
	address := "the host's address"
	if a.Addr.IsValid() {
		address = a.Addr.Addr().String()
	}
	if errors.Is(a.Err, sender.ErrForbiddenAddress) {
		return address + " is not public; give -allow-network CIDR if you mean to reach it"
	}
	return address + " is in no network that -allow-network opens for http; use https"
}

func tlsFailure(err error) string {
	var (
		verification *tls.CertificateVerificationError
		record       tls.RecordHeaderError
		attempt      *sender.AttemptError
	)
	switch {
	case errors.As(err, &record):
		return "the receiver does not speak TLS; is it http?"
	case errors.As(err, &verification):
		return "TLS handshake failed: " + printable(verification.Err.Error()) +
			"; add your certificate authority to the system's, or name its file in SSL_CERT_FILE"
	case errors.As(err, &attempt) && attempt.Unwrap() != nil:
		return "TLS handshake failed: " + printable(attempt.Unwrap().Error())
	}
	return "TLS handshake failed"
}

// refusal is what is wrong with the call itself, nearly always the URL.
func (o *options) refusal(err error) error {
	var (
		endpoint *sender.EndpointError
		message  *sender.MessageError
	)
	switch {
	case errors.As(err, &message) && message.Field == "Body":
		return usagef("the message is over the limit of %d bytes; shorten -error or -metadata", sender.DefaultMaxBody)
	case errors.Is(err, sender.ErrForbiddenAddress):
		return usagef("%s: %s is not a public address; give -allow-network CIDR if you mean to reach it", o.source("url"), o.origin())
	case errors.As(err, &endpoint) && endpoint.Field == "URL" && strings.HasPrefix(o.origin(), "http://"):
		return usagef("%s: %s is in no network that -allow-network opens for http; use https", o.source("url"), o.origin())
	case errors.As(err, &endpoint) && endpoint.Field == "URL":
		return usagef("%s: the URL %s", o.source("url"), printable(endpoint.Reason))
	}
	return usagef("%s", oneLine(err))
}

// origin is what may be shown of -url.
func (o *options) origin() string { return sender.Endpoint{URL: sender.NewURL(o.url)}.String() }

// printable makes a text that the receiver had a part in fit for one line.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, fmt.Sprintf("%.256s", text))
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return strconv.Itoa(n) + " attempts"
}

// what is the deployment in a few words.
func (r *report) what() string {
	return fmt.Sprintf("%s of %s to %s", cmp.Or(string(r.record.Status), string(r.event)),
		cmp.Or(r.record.Service, "(no service)"), cmp.Or(r.record.Environment, "(no environment)"))
}
