package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/envelope"
	"github.com/deployhook/deployhook/signer"
)

// message encodes the report in the chosen format. header has additional
// headers.
func (r *report) message(ctx context.Context, o *options) (msg sender.Message, header http.Header, err error) {
	switch o.format {
	case "event", "envelope":
		e, err := r.asEvent(o)
		if err != nil {
			return msg, nil, err
		}
		var ep sender.Endpoint
		if o.format == "envelope" {
			ep.BodyFormat = envelope.New()
		}
		if msg, err = ep.Message(ctx, e); err != nil {
			return msg, nil, o.refusal(err)
		}
		return msg, nil, nil
	case "cdevents":
		return r.asCDEvent(o)
	}
	if err := r.record.Validate(); err != nil {
		return msg, nil, r.explain(err)
	}
	body, err := r.record.Encode()
	return sender.Message{ID: payload.NewDeliveryID(), Body: body}, nil, err
}

// asCDEvent returns the record as a CDEvent in binary mode. The body is the
// CDEvent, and its bytes are signed.
func (r *report) asCDEvent(o *options) (sender.Message, http.Header, error) {
	d := r.record
	if err := d.Validate(); err != nil {
		return sender.Message{}, nil, r.explain(err)
	}
	id := payload.NewDeliveryID()
	event, err := cdevents.FromDeployment(&d, cdevents.Options{
		Source: cmp.Or(d.PipelineURL, "urn:deploynotify:"+url.PathEscape(cmp.Or(d.Service, "unknown"))), ID: id, Error: o.failureReason(r),
	})
	if err != nil {
		return sender.Message{}, nil, r.explain(err)
	}
	header, body := event.Binary()
	header.Del("Content-Type") // the sender sets it
	return sender.Message{ID: id, Body: body}, header, nil
}

// signer makes the signer. Its errors name the variable and never the value.
func (o *options) signer() (signer.Signer, error) {
	scheme := o.scheme
	if scheme == "" {
		switch {
		case o.secret != "" && o.apiKey != "":
			return nil, usagef("both %sSECRET and %sAPI_KEY are set; choose one with -scheme", envPrefix, envPrefix)
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
		return nil, usagef("no secret for -scheme %s: %s is not set or empty; check the name of the secret in the CI system, and that this job may read it", scheme, variable)
	}
	s, err := newSigner(scheme, text, o.header)
	if err != nil {
		return nil, usagef("%s with -scheme %s: %s", variable, scheme, secretMistake(err))
	}
	return s, nil
}

// secretMistake explains an invalid secret without names of the Go API.
func secretMistake(err error) string {
	text := oneLine(err)
	if strings.Contains(text, "NewLiteralSecret") {
		return "lacks the whsec_ prefix; any other text is a secret for -scheme timestamped, temps or stripe. " +
			"This makes one with the prefix: echo whsec_$(openssl rand -base64 32)"
	}
	for _, sentinel := range []error{signer.ErrInvalidSecret, signer.ErrConfig} {
		text = strings.TrimPrefix(text, sentinel.Error()+": ")
	}
	return text
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

// send delivers the message, or prints its request, and returns the line to
// print.
func (o *options) send(ctx context.Context, s system, r *report, msg sender.Message, header http.Header) (string, error) {
	scheme, err := o.signer()
	if err != nil {
		return "", err
	}
	opts, err := o.senderOptions(s)
	if err != nil {
		return "", err
	}
	out, err := sender.New(opts...)
	if err != nil {
		return "", usageError{oneLine(err)}
	}
	defer out.Close()
	endpoint := sender.Endpoint{URL: sender.NewURL(o.url), Signer: scheme, Header: sender.NewHeader(header)}
	o.saveState(r)
	if o.dryRun {
		return o.preview(ctx, s, out, r, endpoint, msg)
	}
	receipt, err := out.Deliver(ctx, endpoint, msg)
	if err != nil {
		return "", o.failure(ctx, s, receipt, err)
	}
	o.removeState(r)
	last := receipt.Attempts[len(receipt.Attempts)-1]
	return fmt.Sprintf("delivered %s as %s: %d after %s%s", r.summary(), receipt.ID, last.Status, attempts(last.Number), strings.Join(r.notes, "")), nil
}

func (o *options) senderOptions(s system) ([]sender.Option, error) {
	opts := []sender.Option{sender.WithStopOnClientError()}
	networks, err := o.prefixes()
	if err != nil {
		return nil, err
	}
	if len(networks) > 0 {
		opts = append(opts, sender.AllowNetworks(networks...))
	}
	proxy, err := o.chosenProxy(s)
	if err != nil {
		return nil, err
	}
	if proxy != nil {
		opts = append(opts, sender.WithProxy(proxy))
	}
	return opts, nil
}

// preview prints the request without sending it. It shows the signature but no
// credential. It shows only scheme and host of the URL, because the rest may be
// a credential.
func (o *options) preview(ctx context.Context, s system, out *sender.Sender, r *report, ep sender.Endpoint, msg sender.Message) (string, error) {
	request, err := out.Preview(ctx, ep, msg)
	if err != nil {
		return "", o.refusal(err)
	}
	headers := map[string]string{}
	for name, values := range request.Header {
		headers[name] = strings.Join(values, ", ")
	}
	// redacted in the request because headers may be credentials, but these
	// only describe the event
	for name, values := range ep.Header.Reveal() {
		headers[http.CanonicalHeaderKey(name)] = strings.Join(values, ", ")
	}
	encoder := json.NewEncoder(s.stdout)
	encoder.SetEscapeHTML(false)
	err = encoder.Encode(struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}{request.Method, o.origin(), headers, string(request.Body)})
	for _, problem := range r.run.Problems {
		// With either flag the deployment ID is unambiguous.
		if problem.Field != "deploymentId" || o.service == "" && o.deploymentID == "" {
			fmt.Fprintln(s.stderr, "deploynotify: note:", problem)
		}
	}
	return "dry run: nothing was sent" + strings.Join(r.notes, ""), err
}
