package receiver_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
)

func TestContentTypes(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	rcv := newReceiver(t, scheme, receiver.InsecureNoDedupe())
	listed := newReceiver(t, scheme, receiver.InsecureNoDedupe(), receiver.WithMediaTypes("application/vnd.acme+json"))
	every := newReceiver(t, scheme, receiver.InsecureNoDedupe(), receiver.WithMediaTypes("application/*+json"))
	records := rcv.Records(func(context.Context, []byte) (*payload.Deployment, error) { return &payload.Deployment{}, nil },
		func(context.Context, *payload.Deployment) error { return nil })
	wrapped := rcv.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, c := range []struct {
		values                               []string
		events, records, wrap, listed, every int
	}{
		{[]string{"application/json"}, 200, 200, 200, 200, 200},
		{[]string{"application/json; charset=utf-8"}, 200, 200, 200, 200, 200},
		{[]string{"application/json;charset=UTF-8"}, 200, 200, 200, 200, 200},
		{[]string{"Application/JSON"}, 200, 200, 200, 200, 200},
		{[]string{"application/json; charset=utf8"}, 200, 200, 200, 200, 200},
		{[]string{"application/json; charset=us-ascii"}, 200, 200, 200, 200, 200},
		// JSON is UTF-8 regardless, and decoding checks the bytes
		{[]string{"application/json; charset=utf-16"}, 200, 200, 200, 200, 200},
		{[]string{`application/json ; charset="`}, 200, 200, 200, 200, 200},
		{[]string{"application/cloudevents+json"}, 415, 200, 200, 415, 200},
		{[]string{"application/cloudevents+json; charset=UTF-8"}, 415, 200, 200, 415, 200},
		{[]string{"application/cloudevents-batch+json"}, 415, 415, 415, 415, 200},
		{[]string{"Application/vnd.Acme+JSON;v=1"}, 415, 415, 415, 200, 200},
		{[]string{"application/+json"}, 415, 415, 415, 415, 415},
		{[]string{"application/*+json"}, 415, 415, 415, 415, 415},
		{[]string{"text/vnd.acme+json"}, 415, 415, 415, 415, 415},
		{[]string{"application/json", "application/json"}, 415, 415, 415, 415, 415},
		{[]string{"application/json, text/plain"}, 415, 415, 415, 415, 415},
		{[]string{"application/jsonp"}, 415, 415, 415, 415, 415},
		{[]string{"application/x-www-form-urlencoded"}, 415, 415, 415, 415, 415},
		{[]string{""}, 415, 415, 415, 415, 415},
		{[]string{";"}, 415, 415, 415, 415, 415},
		{nil, 415, 415, 415, 415, 415},
	} {
		for _, h := range []struct {
			handler http.Handler
			status  int
		}{
			{rcv.Events(ok), c.events}, {records, c.records}, {wrapped, c.wrap}, {listed.Events(ok), c.listed}, {every.Events(ok), c.every},
		} {
			r := signedRequest(t, scheme, "", eventBody)
			r.Header["Content-Type"] = c.values
			require.Equal(t, h.status, serve(h.handler, r).Code, c.values)
		}
	}
	for encoding, status := range map[string]int{"": 200, "identity": 200, "gzip": 415, "br": 415, "identity, gzip": 415, "UTF-8": 415} {
		r := signedRequest(t, scheme, "", eventBody)
		r.Header["Content-Encoding"] = []string{encoding}
		require.Equal(t, status, serve(rcv.Events(ok), r).Code, encoding)
	}
}

// The log line names the header and its value. It does not repeat a long value
// or one that does not look like a media type.
func TestContentRefused_SaysWhy(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	var result receiver.Result
	h := newReceiver(t, scheme, receiver.InsecureNoDedupe(),
		receiver.WithObserver(func(_ context.Context, r receiver.Result) { result = r })).Events(ok)
	secret := "eyJhbGciOiJIUzI1NiJ9:" + strings.Repeat("s", 60)
	for _, c := range []struct {
		header string
		values []string
		want   string
	}{
		{"Content-Type", []string{"application/x-www-form-urlencoded"}, `Content-Type is "application/x-www-form-urlencoded"; this is a form; choose application/json`},
		{"Content-Type", []string{"multipart/form-data; boundary=x"}, `Content-Type is "multipart/form-data"; this is a form`},
		{"Content-Type", []string{"application/vnd.acme+json"}, `Content-Type is "application/vnd.acme+json"; allow it with WithMediaTypes`},
		{"Content-Type", []string{"text/plain; token=" + secret}, `Content-Type is "text/plain"; the sender must send application/json`},
		{"Content-Type", []string{secret}, `Content-Type is a value of 81 bytes that is not a media type or encoding`},
		{"Content-Type", []string{""}, `Content-Type is empty`},
		{"Content-Type", nil, `there is no Content-Type`},
		{"Content-Type", []string{"a/b", secret}, `there are 2 Content-Type headers`},
		{"Content-Encoding", []string{"UTF-8"}, `Content-Encoding is "UTF-8"; the sender must send the body as it signed it`},
		{"Content-Encoding", []string{"gzip\x00" + secret}, `Content-Encoding is a value of 86 bytes`},
	} {
		r := signedRequest(t, scheme, "", eventBody)
		r.Header[c.header] = c.values
		require.Equal(t, 415, serve(h, r).Code)
		require.ErrorContains(t, result.Err, c.want)
		require.NotContains(t, result.Err.Error(), "sss")
		require.Less(t, len(result.Err.Error()), 250)
	}
}

func TestWithMediaTypes_RefusesOtherTypes(t *testing.T) {
	t.Parallel()
	for _, media := range []string{"", "*/*", "application/json", "text/plain", "application/+json", "Application/x+json", "application/x+json; v=1"} {
		_, err := receiver.New(newScheme(t), receiver.InsecureNoDedupe(), receiver.WithMediaTypes(media))
		require.ErrorIs(t, err, receiver.ErrConfig, media)
		require.ErrorContains(t, err, "WithMediaTypes")
	}
}
