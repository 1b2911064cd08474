package cdevents_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
)

// headerTable has the examples of the HTTP protocol binding 1.0.2, section
// 3.1.3.2, and the limits of its rules.
var headerTable = []struct{ plain, encoded string }{
	{"Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"},
	{`say "hi"`, "say%20%22hi%22"},
	{"100%", "100%25"},
	{"%41", "%2541"},
	{"!#$&'()*+,-./:;<=>?@[]^_`{|}~", "!#$&'()*+,-./:;<=>?@[]^_`{|}~"},
	{`back\slash`, `back\slash`},
	{"shöp", "sh%C3%B6p"},
}

func TestHeaderEncoding(t *testing.T) {
	t.Parallel()
	for _, test := range headerTable {
		event := step(t, payload.DeployLive)
		event.App = test.plain
		e, err := cdevents.FromEvent(event, options)
		require.NoError(t, err, test.plain)
		h, body := e.Binary()
		assert.Equal(t, test.encoded, h.Get("ce-subject"))
		for _, values := range h {
			assert.Len(t, values, 1)
		}
		decoded, err := cdevents.Decode(h, body)
		require.NoError(t, err)
		assert.Equal(t, test.plain, decoded.Subject())
		requireEvent(t, event, e)
	}
}

func TestHeaderDecoding(t *testing.T) {
	t.Parallel()
	event := step(t, payload.DeployLive)
	event.App = `say "é"`
	e, err := cdevents.FromEvent(event, options)
	require.NoError(t, err)
	for value, ok := range map[string]bool{
		`say%20%22%C3%A9%22`:   true,
		`say%20%22%c3%a9%22`:   true, // lower case
		`%73ay%20%22%C3%A9%22`: true, // more than necessary
		// less than necessary, from older senders
		`say "%C3%A9"`:     true,
		`"say \"%C3%A9\""`: true,  // quoted, from older senders
		`"say \"%C3%A9\"`:  false, // not closed
		`"say" "%C3%A9"`:   false, // more after the end
		`"say \"%C3%A9\"\`: false,
		// It is encoded twice. Decoded once, it is another subject.
		`say%2520%22%C3%A9%22`:  false,
		`say%20%22%E9%22`:       false, // Latin-1
		`say%20%22%C1%A9%22`:    false, // overlong
		`say%20%22%ED%A0%80%22`: false, // a surrogate
		`say%20%22%C3%A%22`:     false,
		`say%`:                  false,
		"say%20%22é%22":         false, // raw
		"say\x00":               false,
		"":                      false,
	} {
		h, body := e.Binary()
		h["Ce-Subject"] = []string{value}
		_, err := cdevents.Decode(h, body)
		assert.Equal(t, ok, err == nil, "%q: %v", value, err)
		if err != nil {
			require.ErrorIs(t, err, payload.ErrInvalid)
			assert.ErrorContains(t, err, "ce-subject")
		}
	}
}

func TestBinaryHeaders(t *testing.T) {
	t.Parallel()
	e, err := cdevents.FromDeployment(deployment(t, payload.StatusSuccess), options)
	require.NoError(t, err)
	h, _ := e.Binary()
	assert.Equal(t, http.Header{
		"Content-Type": {"application/json"}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"evt-1"},
		"Ce-Source": {"https://ci.example/acme/shop"}, "Ce-Type": {"dev.cdevents.service.deployed.0.3.0"},
		"Ce-Subject": {"shop"}, "Ce-Time": {"2026-03-12T14:25:02.5Z"},
	}, h)
	h, body := e.Structured()
	assert.Equal(t, http.Header{"Content-Type": {"application/cloudevents+json"}}, h)
	requireGolden(t, "structured", body)
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	e, err := cdevents.FromDeployment(deployment(t, payload.StatusSuccess), options)
	require.NoError(t, err)
	set := func(name string, values ...string) func(http.Header) { return func(h http.Header) { h[name] = values } }
	for name, test := range map[string]struct {
		change func(http.Header)
		want   error
		text   string
	}{
		"batch":           {set("Content-Type", "application/cloudevents-batch+json; charset=UTF-8"), cdevents.ErrBatch, ""},
		"batch, capitals": {set("Content-Type", "Application/CloudEvents-Batch+json"), cdevents.ErrBatch, ""},
		"avro":            {set("Content-Type", "application/cloudevents+avro"), cdevents.ErrContentType, ""},
		"text":            {set("Content-Type", "text/plain"), cdevents.ErrContentType, ""},
		"no type":         {set("Content-Type"), cdevents.ErrContentType, ""},
		"two types":       {set("Content-Type", "application/json", "application/json"), cdevents.ErrContentType, ""},
		"two spellings":   {set("content-type", "application/json"), cdevents.ErrContentType, ""},
		"datacontenttype": {set("Ce-Datacontenttype", "application/json"), payload.ErrInvalid, "ce-datacontenttype must not"},
		"no version":      {set("Ce-Specversion"), payload.ErrInvalid, "ce-specversion"},
		"version 0.3":     {set("Ce-Specversion", "0.3"), payload.ErrInvalid, "ce-specversion must be 1.0"},
		"no id":           {func(h http.Header) { h.Del("ce-id") }, payload.ErrInvalid, "ce-id is required"},
		"two ids":         {set("Ce-Id", "evt-1", "evt-1"), payload.ErrInvalid, "ce-id must be given only once"},
		"two spelled ids": {set("ce-id", "evt-1"), payload.ErrInvalid, "ce-id must be given only once"},
		"other id":        {set("Ce-Id", "evt-2"), cdevents.ErrMismatch, "ce-id must be equal to the body's context.id"},
		"other source":    {set("Ce-Source", "/x"), cdevents.ErrMismatch, "ce-source"},
		"other type":      {set("Ce-Type", "dev.cdevents.service.removed.0.3.0"), cdevents.ErrMismatch, "ce-type"},
		"other subject":   {set("Ce-Subject", "bank"), cdevents.ErrMismatch, "ce-subject"},
		"other time":      {set("Ce-Time", "2026-03-12T14:25:02Z"), cdevents.ErrMismatch, "ce-time"},
		"another time":    {set("Ce-Time", "yesterday"), payload.ErrInvalid, "ce-time must be"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, body := e.Binary()
			test.change(h)
			got, err := cdevents.Decode(h, body)
			assert.Nil(t, got)
			require.ErrorIs(t, err, test.want)
			require.ErrorContains(t, err, test.text)
		})
	}
}

func TestDecodeAccepts(t *testing.T) {
	t.Parallel()
	e, err := cdevents.FromDeployment(deployment(t, payload.StatusSuccess), options)
	require.NoError(t, err)
	h, body := e.Binary()
	h.Set("Content-Type", "application/json; charset=UTF-8")
	h.Set("ce-time", "2026-03-12T15:25:02.500+01:00")
	h.Del("ce-subject")
	h.Add("ce-traceparent", "00-1")
	h.Add("ce-traceparent", "two are the extension's own business")
	got, err := cdevents.Decode(h, body)
	require.NoError(t, err)
	assert.Equal(t, e, got)

	_, body = e.Structured()
	h = http.Header{"Content-Type": {"application/cloudevents+json; charset=utf-8"}, "Ce-Id": {"evt-1"}}
	_, err = cdevents.Decode(h, body)
	require.NoError(t, err)
	h.Set("ce-id", "evt-2")
	got, err = cdevents.Decode(h, body)
	require.ErrorIs(t, err, cdevents.ErrMismatch)
	assert.Nil(t, got)
}

func TestStructured(t *testing.T) {
	t.Parallel()
	e, err := cdevents.FromDeployment(deployment(t, payload.StatusSuccess), options)
	require.NoError(t, err)
	h, valid := e.Structured()
	encoded := `"data_base64":"` + base64.StdEncoding.EncodeToString(e.JSON()) + `"}`
	head, _, _ := strings.Cut(string(valid), `"data":`)
	for name, test := range map[string]struct{ body, text string }{
		"base64":             {head + encoded, ""},
		"base64 and data":    {strings.TrimSuffix(string(valid), "}") + "," + encoded, "data must not come together"},
		"no base64":          {head + `"data_base64":"*"}`, "data_base64 must be base64"},
		"no data":            {head + `"x":1}`, "data is required"},
		"null data":          {head + `"data":null}`, "data must be a JSON object"},
		"other data":         {head + `"data":{}}`, "data.context.specversion is required"},
		"null subject":       {strings.Replace(string(valid), `"subject":"shop"`, `"subject":null`, 1), ""},
		"extension":          {strings.Replace(string(valid), `{`, `{"traceparent":"00-1",`, 1), ""},
		"no type":            {strings.Replace(string(valid), `"type":`, `"typ":`, 1), "type is required"},
		"number":             {strings.Replace(string(valid), `"id":"evt-1"`, `"id":1`, 1), "id must be a string"},
		"twice":              {strings.Replace(string(valid), `{`, `{"id":"evt-1",`, 1), "id must not appear more than once"},
		"other id":           {strings.Replace(string(valid), `"id":"evt-1"`, `"id":"evt-2"`, 1), "id must be equal"},
		"other version":      {strings.Replace(string(valid), `"1.0"`, `"1.1"`, 1), "specversion must be 1.0"},
		"not encoded twice":  {strings.Replace(string(valid), `"subject":"shop"`, `"subject":"sh%6Fp"`, 1), "subject must be equal"},
		"xml":                {strings.Replace(string(valid), `"datacontenttype":"application/json"`, `"datacontenttype":"text/xml"`, 1), "datacontenttype"},
		"trailing":           {string(valid) + "{}", "nothing else"},
		"array":              {"[" + string(valid) + "]", "must be a JSON object"},
		"null":               {"null", "must be a JSON object"},
		"empty":              {"", "must be a JSON object"},
		"cut":                {string(valid[:100]), "ends too early"},
		"invalid UTF-8":      {strings.Replace(string(valid), "ada@", "\xff@", 1), "must be valid UTF-8"},
		"duplicate in data":  {strings.Replace(string(valid), `"context":{`, `"context":{"id":"x",`, 1), "data.context.id must not appear"},
		"a lone surrogate":   {strings.Replace(string(valid), `ada@`, `\ud800`, 1), "body must be"},
		"duplicate, escaped": {strings.Replace(string(valid), `"context":{`, `"context":{"\u0069d":"x",`, 1), "data.context.id must not appear"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NotEqual(t, string(valid), test.body)
			got, err := cdevents.Decode(h, []byte(test.body))
			if test.text == "" {
				require.NoError(t, err)
				assert.Equal(t, e, got)
				return
			}
			require.ErrorIs(t, err, payload.ErrInvalid)
			assert.ErrorContains(t, err, test.text)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	e, err := cdevents.FromDeployment(deployment(t, payload.StatusSuccess), options)
	require.NoError(t, err)
	valid := string(e.JSON())
	for _, test := range []struct{ old, replacement, text string }{
		{`"specversion":"0.5.1"`, `"specversion":"0.4.1"`, "context.version is required; context.specversion is not a member that CDEvents 0.4 has here"},
		{`"specversion":"0.5.1"`, `"version":"0.5.1"`, "context.version is not a member"},
		{`"id":"evt-1"`, `"id":null`, "context.id must be a string"},
		{`"id":"evt-1"`, `"id":""`, "context.id is required"},
		{`"id":"evt-1"`, `"id":"\u0000"`, "context.id must not contain control"},
		{`"source":"https://ci.example/acme/shop"`, `"source":"a b"`, "context.source must be a URI-reference"},
		{`dev.cdevents.service.deployed.0.3.0`, `service.deployed`, "context.type must be"},
		{`dev.cdevents.service.deployed.0.3.0`, `dev.cdevents.service.deployed.3`, "context.type must be"},
		{`"timestamp":"2026-03-12T14:25:02.5Z"`, `"timestamp":"2026-03-12 14:25:02"`, "context.timestamp must be"},
		{`"timestamp":"2026-03-12T14:25:02.5Z"`, `"timestamp":"0001-01-01T00:00:00Z"`, "context.timestamp must be"},
		{`"chainId":"run-42"`, `"chainId":null`, "context.chainId must be a string"},
		{`"chainId":"run-42"`, `"links":{}`, "context.links must be an array"},
		{`"subject":{"id":"shop",`, `"subject":{"id":"shop","type":"service",`, "subject.type is not a member"},
		{`"subject":{`, `"subjects":{`, "subjects is not a member"},
		{`"customData":{`, `"customData":1,"x":{`, "x is not a member"},
		{`"content":{`, `"content":[],"x":{`, "subject.x is not a member"},
	} {
		require.Equal(t, 1, strings.Count(valid, test.old), test.old)
		_, err := cdevents.Parse([]byte(strings.Replace(valid, test.old, test.replacement, 1)))
		require.ErrorIs(t, err, payload.ErrInvalid, test.replacement)
		assert.ErrorContains(t, err, test.text)
	}
	for _, nested := range []string{strings.Repeat("[", 20_000), strings.Repeat(`{"a":`, 20_000)} {
		_, err := cdevents.Parse([]byte(strings.Replace(valid, `"customData":{`, `"customData":{"x":`+nested, 1)))
		require.ErrorIs(t, err, payload.ErrInvalid)
		assert.ErrorContains(t, err, "must not be nested more than 128 levels deep")
	}
	for _, bad := range []string{"", "null", "[]", "1", `"x"`, "{}", `{"context":null}`, `{"context":[]}`, `{"context":{"x":`} {
		_, err := cdevents.Parse([]byte(bad))
		require.ErrorIs(t, err, payload.ErrInvalid, bad)
	}
}
