package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// message encodes the report in the format that was asked for; header is what goes along with it.
func (r *report) message(o *options) (msg sender.Message, header http.Header, err error) {
	switch o.format {
	case "event":
		e, err := r.asEvent()
		if err != nil {
			return msg, nil, err
		}
		msg, err = sender.NewMessage(e)
		return msg, nil, err
	case "cdevents":
		return r.asCDEvent()
	}
	if err := r.record.Validate(); err != nil {
		return msg, nil, r.explain(err)
	}
	body, err := r.record.Encode()
	return sender.Message{ID: payload.NewDeliveryID(), Body: body}, nil, err
}

// asCDEvent is the record in binary mode: the CDEvent is the body, whose bytes are signed.
func (r *report) asCDEvent() (sender.Message, http.Header, error) {
	d := r.record
	if err := d.Validate(); err != nil {
		return sender.Message{}, nil, r.explain(err)
	}
	id := payload.NewDeliveryID()
	event, err := cdevents.FromDeployment(&d, cdevents.Options{
		Source: cmp.Or(d.PipelineURL, "urn:deploynotify:"+url.PathEscape(cmp.Or(d.Service, "unknown"))), ID: id, Error: r.base.Error,
	})
	if err != nil {
		return sender.Message{}, nil, r.explain(err)
	}
	header, body := event.Binary()
	header.Del("Content-Type") // the sender's own
	return sender.Message{ID: id, Body: body}, header, nil
}

// signer makes the scheme. Its errors name the variable and never the value.
func (o *options) signer() (signer.Signer, error) {
	scheme := o.scheme
	if scheme == "" {
		switch {
		case o.secret != "" && o.apiKey != "":
			return nil, usagef("both %sSECRET and %sAPI_KEY are set: choose with -scheme", envPrefix, envPrefix)
		case o.apiKey != "":
			scheme = "bearer"
		default:
			scheme = "standard"
		}
	}
	variable, text := envPrefix+"SECRET", o.secret
	if scheme == "bearer" {
		variable, text = envPrefix+"API_KEY", o.apiKey
	}
	if text == "" {
		return nil, usagef("no secret for -scheme %s: set %s", scheme, variable)
	}
	s, err := newSigner(scheme, text, o.header)
	if err != nil {
		return nil, usagef("%s with -scheme %s: %v", variable, scheme, err)
	}
	return s, nil
}

func newSigner(scheme, text, header string) (signer.Signer, error) {
	if scheme == "standard" {
		secret, err := signer.ParseSecret(text)
		if err != nil {
			return nil, err
		}
		return signer.NewStandard(secret)
	}
	secret, err := signer.NewLiteralSecret(text)
	if err != nil {
		return nil, err
	}
	switch scheme {
	case "timestamped":
		return signer.NewTimestamped(secret)
	case "temps":
		return signer.NewTimestamped(secret, signer.WithHeaderPrefix("X-Temps"))
	case "stripe":
		return signer.NewStripe(secret)
	case "bearer":
		return signer.NewBearer(secret, signer.WithHeader(cmp.Or(header, "Authorization")))
	}
	return nil, errors.New("want standard, timestamped, temps, stripe or bearer")
}

// send delivers the message, or prints its request, and returns the line to print.
func (o *options) send(ctx context.Context, s surroundings, r *report, msg sender.Message, header http.Header) (string, error) {
	scheme, err := o.signer()
	if err != nil {
		return "", err
	}
	opts := []sender.Option{sender.WithStopOnClientError()}
	networks, err := o.prefixes()
	if err != nil {
		return "", err
	}
	if len(networks) > 0 {
		opts = append(opts, sender.AllowNetworks(networks...))
	}
	out, err := sender.New(opts...)
	if err != nil {
		return "", usageError{oneLine(err)}
	}
	defer out.Close()
	endpoint := sender.Endpoint{URL: sender.NewURL(o.url), Signer: scheme, Header: sender.NewHeader(header)}
	if o.dryRun {
		return o.preview(s, out, r, endpoint, msg)
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	receipt, err := out.Deliver(ctx, endpoint, msg)
	if err != nil {
		return "", o.failure(receipt, err)
	}
	last := receipt.Attempts[len(receipt.Attempts)-1]
	return fmt.Sprintf("delivered %s as %s: %d after %s%s", r.what(), receipt.ID, last.Status, attempts(last.Number), r.note), nil
}

// failure makes one line of why it was not delivered, and says what to look at.
func (o *options) failure(receipt *sender.Receipt, err error) error {
	if errors.Is(err, sender.ErrRefused) && len(receipt.Attempts) == 0 { // later it is the network's doing, not the caller's
		return refused(err)
	}
	text := oneLine(err)
	if errors.Is(err, sender.ErrForbiddenAddress) {
		text += "; give -allow-network CIDR if you mean to reach it"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		text += "; -timeout sets the limit"
	}
	if n := len(receipt.Attempts); n > 0 {
		switch last := receipt.Attempts[n-1]; last.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			text += "; is the secret the receiver's, and the -scheme the one that it expects?"
		case http.StatusBadRequest:
			text += "; it says: " + strconv.QuoteToASCII(fmt.Sprintf("%.200s", last.Body))
		}
	}
	return errors.New(text)
}

// refused is what is wrong with the call itself: the URL, nearly always.
func refused(err error) error {
	if !errors.Is(err, sender.ErrRefused) {
		return usageError{oneLine(err)}
	}
	return usageError{oneLine(err) + "; the flag for networks of your own is -allow-network CIDR"}
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return strconv.Itoa(n) + " attempts"
}

// preview prints the request that would be sent, without credentials: the signature is there, the secret is not.
func (o *options) preview(s surroundings, out *sender.Sender, r *report, ep sender.Endpoint, msg sender.Message) (string, error) {
	record, err := out.Preview(ep, msg)
	if err != nil {
		return "", refused(err)
	}
	headers := map[string]string{}
	for name, values := range record.Header {
		headers[name] = strings.Join(values, ", ")
	}
	for name, values := range ep.Header.Reveal() { // redacted in a record, since they may be credentials; these describe the event
		headers[http.CanonicalHeaderKey(name)] = strings.Join(values, ", ")
	}
	encoder := json.NewEncoder(s.stdout)
	encoder.SetEscapeHTML(false)
	err = encoder.Encode(struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}{record.Method, record.URL.Reveal(), headers, string(record.Body)})
	return "dry run: nothing was sent" + r.note, err
}
