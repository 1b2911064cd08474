package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/deployhook/deployhook/sender"
)

// endReason returns why the context ended.
func endReason(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("gave up: -timeout expired")
	}
	return errors.New("interrupted by a signal")
}

// failure explains in one line why the report was not delivered and what to do.
func (o *options) failure(ctx context.Context, s system, receipt *sender.Receipt, err error) error {
	n := len(receipt.Attempts)
	if n == 0 {
		return o.refusal(err)
	}
	last := receipt.Attempts[n-1]
	text := o.gaveUp(ctx, receipt, last, err) + ": " + o.lastAttempt(last)
	if name := o.ignoredProxy(s); name != "" && last.Status == 0 {
		text += "; " + name + " is set but ignored; to use it, give -proxy env"
	}
	return errors.New(text)
}

// gaveUp names the number of attempts and why there was no other.
func (o *options) gaveUp(ctx context.Context, receipt *sender.Receipt, last sender.Attempt, err error) string {
	after := " after " + attempts(last.Number)
	switch {
	case receipt.Outcome == sender.Canceled:
		return endReason(ctx).Error() + after
	case receipt.Outcome == sender.Failed && !errors.Is(err, sender.ErrExhausted):
		return "gave up" + after + ": the next retry would come after -timeout"
	}
	return "gave up" + after
}

// lastAttempt describes the last attempt and how to fix its error.
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
	text += string(a.Class)
	var attempt *sender.AttemptError
	if errors.As(a.Err, &attempt) {
		text = oneLine(attempt)
	}
	switch {
	case a.Class == sender.ClassDNS && o.proxy != "":
		return text + "; the host must resolve in the job, even with a proxy"
	case a.Class == sender.ClassDNS || a.Class == sender.ClassConnect:
		return text + "; check the host and the port of " + o.source("url")
	}
	return text
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
		return text + "; check that the secret and -scheme are those that the receiver expects"
	case a.Status == http.StatusBadRequest:
		return text + "; it says " + strconv.QuoteToASCII(fmt.Sprintf("%.200s", a.Body))
	case a.Status == http.StatusNotFound || a.Status == http.StatusMethodNotAllowed:
		return text + "; check the path of " + o.source("url")
	case a.Status == http.StatusGone:
		return text + "; the receiver accepts no more deliveries"
	}
	return text
}

// forbidden describes an address of the host that the sender must not connect
// to.
func (o *options) forbidden(a sender.Attempt) string {
	address := "the host's address"
	if a.Addr.IsValid() {
		address = a.Addr.Addr().String()
	}
	if errors.Is(a.Err, sender.ErrForbiddenAddress) {
		return address + " is not public; to send to it, give -allow-network CIDR"
	}
	return address + " is in no network that -allow-network allows for http; use https"
}

func tlsFailure(err error) string {
	var (
		verification *tls.CertificateVerificationError
		record       tls.RecordHeaderError
		attempt      *sender.AttemptError
	)
	switch {
	case errors.As(err, &record):
		return "the receiver does not speak TLS; if it is plain http, change the URL and give -allow-network CIDR"
	case errors.As(err, &verification):
		return "TLS handshake failed: " + printable(verification.Err.Error()) +
			"; add your certificate authority to the system's, or set SSL_CERT_FILE to its file"
	case errors.As(err, &attempt) && attempt.Unwrap() != nil:
		return "TLS handshake failed: " + printable(attempt.Unwrap().Error())
	}
	return "TLS handshake failed"
}

// refusal explains an error before the first attempt. Nearly always it is in
// the URL.
func (o *options) refusal(err error) error {
	var (
		endpoint *sender.EndpointError
		message  *sender.MessageError
	)
	switch {
	case errors.As(err, &message) && message.Field == "Body":
		return usagef("the message is over the limit of %d bytes; shorten -error or -metadata", sender.DefaultMaxBody)
	case errors.Is(err, sender.ErrForbiddenAddress):
		return usagef("%s: %s is not a public address; to send to it, give %s", o.source("url"), o.origin(), o.allowFlag())
	case errors.As(err, &endpoint) && endpoint.Field == "URL" && strings.HasPrefix(o.origin(), "http://"):
		return usagef("%s: %s is in no network that -allow-network allows for http; use https", o.source("url"), o.origin())
	case errors.As(err, &endpoint) && endpoint.Field == "URL":
		return usagef("%s: the URL %s", o.source("url"), printable(endpoint.Reason))
	}
	return usagef("%s", oneLine(err))
}

// allowFlag returns the flag that allows the host's network. If the host is an
// address, the network is that address alone.
func (o *options) allowFlag() string {
	u, err := url.Parse(o.url)
	if err != nil {
		return "-allow-network CIDR"
	}
	address, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return "-allow-network CIDR"
	}
	address = address.Unmap().WithZone("")
	return "-allow-network " + netip.PrefixFrom(address, address.BitLen()).String()
}

// origin returns scheme and host of -url. The rest may be a credential.
func (o *options) origin() string { return sender.Endpoint{URL: sender.NewURL(o.url)}.String() }

// printable makes a text from the receiver fit for one line of output.
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

// summary describes the deployment in a few words.
func (r *report) summary() string {
	return fmt.Sprintf("%s of %s to %s", cmp.Or(string(r.record.Status), string(r.event)),
		cmp.Or(r.record.Service, "(no service)"), cmp.Or(r.record.Environment, "(no environment)"))
}
