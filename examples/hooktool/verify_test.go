package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

const (
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherSecret    = "whsec_plJ3nmyCDGBKInavdOK15jsl+kjvqWo7Sx8h"
	literalText    = "a-literal-secret-of-both-sides"
	sampleBody     = `{"event":"deploy.live","timestamp":"2026-11-28T12:00:00Z","deployment_id":"dep_1","app":"façade","environment":"production","url":"https://a.example/b"}`
)

// broken is a request with one fault.
type broken struct {
	scheme string // of the sender
	secret string // of the sender; empty is the usual one
	env    env    // of the receiver, if it differs
	args   []string
	spoil  func(r *recorded)
	fault  string
	part   string
	why    string
	do     string
}

func mustSigner(t *testing.T, name, secret string, o schemeFlags) signer.Signer {
	t.Helper()
	s, err := schemeNamed(name)
	require.NoError(t, err)
	made, err := newSigner(s, &o, ring{current: newCredential(secret, secretVariable)})
	require.NoError(t, err)
	return made
}

// signedRecord returns a request that verifies at the time of its arrival.
func signedRecord(t *testing.T, name, secret string, o schemeFlags) *recorded {
	t.Helper()
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	if name == "httpsig" || name == "drone" { // which know no time but the present
		at = time.Now()
	}
	r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:8787/hooks?env=prod", http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	require.NoError(t, mustSigner(t, name, secret, o).Sign(context.Background(), r, "whk_1", at, []byte(sampleBody)))
	rec := newRecorded(r, []byte(sampleBody), at.Add(time.Second), nil, true)
	return &rec
}

// set replaces a header.
func set(name, value string) func(*recorded) {
	return func(r *recorded) { r.Header[name] = []string{value} }
}

// body replaces the body.
func body(change func(string) string) func(*recorded) {
	return func(r *recorded) { r.setBody([]byte(change(string(r.body())))) }
}

// edit changes a header.
func edit(name string, change func(string) string) func(*recorded) {
	return func(r *recorded) { r.Header[name] = []string{change(r.Header.Get(name))} }
}

func macOf(key, text string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// resigned signs by hand, as a sender does that is wrong.
func resigned(key, form string) func(*recorded) {
	return func(r *recorded) {
		text := strings.NewReplacer("ID", r.Header.Get("Webhook-Id"), "TIME", r.Header.Get("Webhook-Timestamp"), "BODY", string(r.body())).Replace(form)
		r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(macOf(key, text)))
	}
}

func rawStandard() string {
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(standardSecret, "whsec_"))
	return string(raw)
}

func gzipped(text string) string {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write([]byte(text)) // a buffer takes all
	_ = z.Close()                // likewise
	return out.String()
}

// faults has a broken request of each kind.
func faults() map[string]broken {
	all := map[string]broken{}
	for _, group := range []map[string]broken{headerCases(), timeCases(), bodyCases(), secretCases(), schemeCases()} {
		for name, c := range group {
			all[name] = c
		}
	}
	return all
}

func headerCases() map[string]broken {
	const std = "standard"
	signature := "Webhook-Signature"
	return map[string]broken{
		"missing header":    {scheme: std, spoil: func(r *recorded) { r.Header.Del("Webhook-Id") }, fault: "missing-header", part: "header Webhook-Id", why: "missing header: Webhook-Id", do: "Let the sender set this header"},
		"no signature":      {scheme: std, spoil: func(r *recorded) { r.Header = http.Header{} }, fault: "no-signature", part: "headers", why: "no signature", do: "removes the headers"},
		"repeated header":   {scheme: std, spoil: func(r *recorded) { r.Header.Add("Webhook-Id", "whk_2") }, fault: "repeated-header", part: "header Webhook-Id", why: "occurs 2 times", do: "Send the header once"},
		"ID with a dot":     {scheme: std, spoil: set("Webhook-Id", "whk.1"), fault: "id-form", part: "header Webhook-Id", why: "without a dot", do: "IDs of visible ASCII without dots"},
		"hex for base64":    {scheme: std, spoil: set(signature, "v1,"+hex.EncodeToString(macOf("k", "b"))), fault: "signature-encoding", part: "signature", why: "a v1 entry is hex, not padded base64", do: "padded base64"},
		"base64 for hex":    {scheme: "timestamped", spoil: set("X-Webhook-Signature", base64.StdEncoding.EncodeToString(macOf("k", "b"))), fault: "signature-encoding", part: "header X-Webhook-Signature", why: "it is base64", do: "lower-case hex for most others"},
		"upper-case hex":    {scheme: "github", spoil: edit("X-Hub-Signature-256", func(v string) string { return "sha256=" + strings.ToUpper(strings.TrimPrefix(v, "sha256=")) }), fault: "signature-encoding", part: "header X-Hub-Signature-256", why: "upper-case hex", do: "lower-case hex"},
		"SHA-1":             {scheme: "github", spoil: set("X-Hub-Signature-256", "sha256="+strings.Repeat("ab", 20)), fault: "signature-encoding", part: "header X-Hub-Signature-256", why: "the length of HMAC-SHA1", do: "Encode the signature"},
		"quoted signature":  {scheme: "timestamped", spoil: set("X-Webhook-Signature", `"abc"`), fault: "signature-quoted", part: "header X-Webhook-Signature", why: "quotation marks", do: "without quotation marks"},
		"no version":        {scheme: std, spoil: edit(signature, func(v string) string { return strings.TrimPrefix(v, "v1,") }), fault: "signature-form", part: "signature", why: "lacks the version v1 and a comma", do: "Write v1 and a comma"},
		"another version":   {scheme: std, spoil: edit(signature, func(v string) string { return strings.Replace(v, "v1,", "v2,", 1) }), fault: "signature-version", part: "signature", why: "other versions than v1 and v1a", do: "v1 (HMAC-SHA256)"},
		"many signatures":   {scheme: std, spoil: edit(signature, func(v string) string { return strings.Repeat("v1,x ", 16) + v }), fault: "too-many-signatures", part: "header Webhook-Signature", why: "more than 16 signatures", do: "current and the previous key only"},
		"oversize header":   {scheme: std, spoil: edit(signature, func(v string) string { return v + " v1," + strings.Repeat("x", 9<<10) }), fault: "oversize-header", part: "header Webhook-Signature", why: "at most 8192", do: "Send only the signatures"},
		"joined headers":    {scheme: "stripe", spoil: edit("Stripe-Signature", func(v string) string { return v + ", " + v }), fault: "repeated-time", part: "header Stripe-Signature", why: "more than one t", do: "joined two headers"},
		"no time in header": {scheme: "stripe", spoil: edit("Stripe-Signature", func(v string) string { _, rest, _ := strings.Cut(v, ","); return rest }), fault: "missing-time", part: "header Stripe-Signature", why: "has no t", do: "t=1764000000"},
		"Svix's headers":    {scheme: "svix", args: []string{"-scheme", "standard"}, fault: "wrong-scheme", part: "scheme", why: "the request carries Svix-Signature", do: "-scheme svix"},
		"unknown header":    {scheme: std, spoil: func(r *recorded) { r.Header = http.Header{"X-Acme-Signature": {"abc"}} }, fault: "unknown-scheme", part: "header X-Acme-Signature", why: "no scheme has this header", do: "Give -scheme, with -header"},
	}
}

func timeCases() map[string]broken {
	const std = "standard"
	stamp := "Webhook-Timestamp"
	return map[string]broken{
		"stale":               {scheme: std, args: []string{"-at", "2026-11-28T12:06:00Z"}, fault: "stale", part: "header Webhook-Timestamp", why: "6m0s old; the tolerance is 5m0s", do: "hooktool replay"},
		"future":              {scheme: std, args: []string{"-at", "2026-11-28T11:50:00Z"}, fault: "future", part: "header Webhook-Timestamp", why: "10m0s ahead", do: "clock by NTP"},
		"stale and forged":    {scheme: std, args: []string{"-at", "2026-11-28T12:06:00Z"}, spoil: body(func(b string) string { return b + " " }), fault: "stale", part: "header Webhook-Timestamp", why: "6m0s old", do: "Sign each attempt again"},
		"milliseconds":        {scheme: std, spoil: edit(stamp, func(v string) string { return v + "000" }), fault: "timestamp-unit", part: "header Webhook-Timestamp", why: "milliseconds", do: "Divide by 1000"},
		"a date":              {scheme: std, spoil: set(stamp, "2026-11-28T12:00:00Z"), fault: "timestamp-form", part: "header Webhook-Timestamp", why: "not a Unix time", do: "plain digits"},
		"a changed time":      {scheme: std, spoil: edit(stamp, func(v string) string { n, _ := strconv.Atoi(v); return strconv.Itoa(n + 1) }), fault: "secret-or-body", part: "secret or body", why: "no key matches", do: "Compare the secrets"},
		"stale in one header": {scheme: "stripe", args: []string{"-at", "2026-11-28T13:00:00Z"}, fault: "stale", part: "header Stripe-Signature", why: "1h0m0s old", do: "time of the attempt"},
	}
}

func bodyCases() map[string]broken {
	const std = "standard"
	spaced := func(b string) string { return strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(b) }
	return map[string]broken{
		"re-encoded": {scheme: std, spoil: body(spaced), fault: "body-reencoded", part: "body", why: "after its JSON was compacted", do: "before any framework parses them"},
		"keys sorted": {scheme: std, spoil: func(r *recorded) {
			r.setBody([]byte(`{"app":"api","event":"deploy.live"}`))
			resigned(rawStandard(), "ID.TIME.BODY")(r)
			r.setBody([]byte(`{"event":"deploy.live","app":"api"}`))
		}, fault: "body-reencoded", part: "body", why: "sorted keys", do: "sign the bytes that it sends"},
		"escapes":          {scheme: std, spoil: body(func(b string) string { return strings.ReplaceAll(b, "ç", `\u00e7`) }), fault: "body-escapes", part: "body", why: "became characters", do: "before any framework parses them"},
		"byte order mark":  {scheme: std, spoil: body(func(b string) string { return "\ufeff" + b }), fault: "body-bom", part: "body", why: "without the byte order mark", do: "Remove the byte order mark"},
		"trailing newline": {scheme: std, spoil: body(func(b string) string { return b + "\n" }), fault: "body-white-space", part: "body", why: "without the white space around it", do: "adds a line end"},
		"newline lost":     {scheme: std, spoil: func(r *recorded) { resigned(rawStandard(), "ID.TIME.BODY\n")(r) }, fault: "body-line-end", part: "body", why: "with a line end after it", do: "--data-binary"},
		"line ends": {scheme: std, spoil: func(r *recorded) {
			r.setBody([]byte("{\n\"a\":1}"))
			resigned(rawStandard(), "ID.TIME.BODY")(r)
			r.setBody([]byte("{\r\n\"a\":1}"))
		}, fault: "body-line-ends", part: "body", why: "as line ends", do: "converted line ends"},
		"base64 body":  {scheme: std, spoil: body(func(b string) string { return base64.StdEncoding.EncodeToString([]byte(b)) }), fault: "body-base64", part: "body", why: "decoded from base64", do: "isBase64Encoded"},
		"JSON in JSON": {scheme: std, spoil: body(strconv.Quote), fault: "body-encoded-twice", part: "body", why: "encoded twice", do: "Send the JSON text itself"},
		"form body":    {scheme: "github", spoil: body(func(b string) string { return "payload=" + url.QueryEscape(b) }), fault: "body-form", part: "body", why: "form's field payload", do: "application/json as the content type"},
		"compressed":   {scheme: std, spoil: body(gzipped), fault: "body-compressed", part: "body", why: "signs first and compresses later", do: "Send the body uncompressed"},
		"decompressed": {scheme: std, spoil: func(r *recorded) {
			r.Header.Set("Content-Encoding", "gzip")
			resigned(rawStandard(), "ID.TIME."+gzipped(sampleBody))(r)
		}, fault: "body-decoded", part: "body", why: "Content-Encoding is gzip, but the body is not compressed", do: "as they arrived"},
		"body changed":     {scheme: std, spoil: body(func(b string) string { return strings.Replace(b, "dep_1", "dep_2", 1) }), fault: "secret-or-body", part: "secret or body", why: "no key matches", do: "compare the bytes"},
		"body only signed": {scheme: std, spoil: resigned(rawStandard(), "BODY"), fault: "signed-content", part: "signature", why: `only "body" is signed`, do: "in its order"},
		"ID is not signed": {scheme: std, spoil: resigned(rawStandard(), "TIME.BODY"), fault: "signed-content", part: "signature", why: `only "timestamp.body" is signed`, do: "sign all parts"},
	}
}

func secretCases() map[string]broken {
	const std = "standard"
	secret := func(text string) env { return env{"HOOKTOOL_SECRET": text} }
	base := strings.TrimPrefix(standardSecret, "whsec_")
	return map[string]broken{
		"wrong secret":          {scheme: std, env: secret(otherSecret), fault: "secret-or-body", part: "secret or body", why: "1 key(s) tried", do: "Compare the secrets of both sides"},
		"text as the key":       {scheme: std, spoil: resigned(standardSecret, "ID.TIME.BODY"), fault: "secret-form", part: "secret", why: "whole text is the key, not decoded from base64", do: "Read the secret in the same way"},
		"decoded, not literal":  {scheme: "timestamped", secret: literalText, env: env{"HOOKTOOL_SECRET": "whsec_" + base64.StdEncoding.EncodeToString([]byte(literalText))}, fault: "secret-form", part: "secret", why: "decoded from base64", do: "Other schemes take the text as it is"},
		"secret with line end":  {scheme: std, spoil: resigned(standardSecret+"\n", "ID.TIME.BODY"), fault: "secret-form", part: "secret", why: "a line end follows the secret", do: "same way on both sides"},
		"prefix cut off":        {scheme: std, env: secret(base), fault: "secret-form", part: "secret", why: "the prefix was cut off", do: "begins with whsec_"},
		"literal for standard":  {scheme: std, env: secret("a-literal-secret-of-32-characters"), spoil: resigned("a-literal-secret-of-32-characters", "ID.TIME.BODY"), fault: "secret-form", part: "secret", why: "the secret's text itself is the key", do: "let the sender decode it"},
		"doubled prefix":        {scheme: std, env: secret("whsec_" + standardSecret), fault: "secret-invalid", part: "secret", why: "prefix is doubled", do: "Copy the secret again"},
		"quotation marks":       {scheme: std, env: secret(`"` + standardSecret + `"`), fault: "secret-invalid", part: "secret", why: "quotation marks around it", do: "without anything around it"},
		"unexpanded variable":   {scheme: std, env: secret("${WEBHOOK_SECRET}"), fault: "secret-invalid", part: "secret", why: "nothing has expanded", do: "how it gets into the variable"},
		"a signature as secret": {scheme: std, env: secret("v1," + base), fault: "secret-invalid", part: "secret", why: "version of a signature", do: "Copy the secret again"},
		"signing key":           {scheme: "timestamped", secret: literalText, env: secret("whsk_" + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(make([]byte, 32)))), fault: "secret-invalid", part: "secret", why: "Ed25519 key", do: "Copy the secret again"},
		"old key of a body ended": {
			scheme: "github", secret: literalText, env: env{"HOOKTOOL_SECRET": literalText + "x", "HOOKTOOL_PREVIOUS_SECRET": literalText},
			args: []string{"-previous-until", "2026-11-28T11:00:00Z"}, fault: "key-ended", part: "secret", why: "is past its end", do: "sign with the new secret",
		},
		"old key ended": {
			scheme: std, env: env{"HOOKTOOL_SECRET": otherSecret, "HOOKTOOL_PREVIOUS_SECRET": standardSecret}, args: []string{"-previous-until", "2026-11-28T11:00:00Z"},
			fault: "key-ended", part: "secret", why: "the previous secret matches, but it is past its end", do: "sign with the new secret",
		},
	}
}

func schemeCases() map[string]broken {
	const std = "standard"
	return map[string]broken{
		"wrong scheme":      {scheme: "stripe", secret: literalText, args: []string{"-scheme", "timestamped"}, env: env{"HOOKTOOL_SECRET": literalText}, fault: "wrong-scheme", part: "scheme", why: "the request carries Stripe-Signature", do: "-scheme stripe"},
		"header prefix":     {scheme: "temps", secret: literalText, args: []string{"-scheme", "timestamped"}, env: env{"HOOKTOOL_SECRET": literalText}, fault: "header-prefix", part: "header X-Temps-Signature", why: "the request carries X-Temps-Signature", do: "-header-prefix X-Temps"},
		"prefix and forged": {scheme: "temps", secret: literalText, args: []string{"-scheme", "timestamped"}, env: env{"HOOKTOOL_SECRET": literalText + "x"}, fault: "header-prefix", part: "header X-Temps-Signature", why: "X-Webhook-Timestamp", do: "-header-prefix X-Temps"},
		"two schemes":       {scheme: std, args: []string{"-scheme", "standard"}, spoil: func(r *recorded) { resigned("x", "BODY")(r); r.Header.Set("X-Gitea-Signature", "00") }, fault: "wrong-scheme", part: "header Webhook-Signature", why: "the request carries X-Gitea-Signature", do: "Leave -scheme out"},
		"wrong API key":     {scheme: "bearer", secret: literalText, env: env{"HOOKTOOL_SECRET": literalText + "x"}, fault: "api-key", part: "header Authorization", why: "the key in Authorization is not known", do: "Send the key"},
		"redacted":          {scheme: "bearer", secret: literalText, spoil: set("Authorization", redacted), fault: "redacted", part: "header Authorization", why: "left out when the request was recorded", do: "-keep-credentials"},
		"another URL":       {scheme: "httpsig", args: []string{"-key-id", "2026", "-scheme", "httpsig"}, spoil: func(r *recorded) { r.URL = "/hooks?env=staging" }, fault: "request-target", part: "request", why: "does not fit the request", do: "-external-url"},
		"another method":    {scheme: "httpsig", args: []string{"-key-id", "2026"}, spoil: func(r *recorded) { r.Method = http.MethodPut }, fault: "request-target", part: "request", why: "does not fit the request", do: "with the method"},
		"digest of Drone":   {scheme: "drone", spoil: body(func(b string) string { return b + " " }), fault: "body-changed", part: "body", why: "Digest is not the SHA-256", do: "as they arrived"},
		"date of Drone":     {scheme: "drone", spoil: set("Date", "Sat, 28 Nov 2020 12:00:00 GMT"), fault: "stale", part: "header Date", why: "old; the tolerance is 5m0s", do: "Sign each attempt again"},
		"another key ID":    {scheme: "httpsig", args: []string{"-key-id", "2027"}, fault: "key-id", part: "secret", why: "keyid of an active key", do: "-key-id"},
		"digest":            {scheme: "httpsig", args: []string{"-key-id", "2026"}, spoil: body(func(b string) string { return b + " " }), fault: "body-changed", part: "body", why: "Content-Digest", do: "as they arrived"},
	}
}

func (c broken) record(t *testing.T) *recorded {
	t.Helper()
	o, name := schemeFlags{keyID: "2026"}, c.scheme
	if name == "temps" {
		name, o.prefix = "timestamped", "X-Temps"
	}
	rec := signedRecord(t, name, c.sender(), o)
	if c.spoil != nil {
		c.spoil(rec)
	}
	return rec
}

// sender returns the sender's secret.
func (c broken) sender() string {
	s, _ := schemeNamed(c.scheme)
	switch {
	case c.secret != "":
		return c.secret
	case s.standard:
		return standardSecret
	}
	return literalText
}

func (c broken) receiver() env {
	if c.env != nil {
		return c.env
	}
	return env{"HOOKTOOL_SECRET": c.sender()}
}

// verify names the fault, the part, the reason and what to do, for people and
// for programs.
func TestVerify_NamesEachFault(t *testing.T) {
	t.Parallel()
	cases := faults()
	require.GreaterOrEqual(t, len(cases), 25)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path, err := c.record(t).write(dir, 1, "broken")
			require.NoError(t, err)
			now := func() time.Time { return time.Date(2027, 11, 28, 12, 0, 2, 0, time.UTC) }
			args := append([]string{"verify", path}, c.args...)
			r := inProcessAt(c.receiver(), now, "", append(args, "-json")...)
			require.Equal(t, 1, r.code, r.stdout+r.stderr)
			line := r.lines(t)[0]
			require.Equal(t, c.fault, line["fault"], r.stdout)
			require.Equal(t, c.part, line["part"], r.stdout)
			require.Contains(t, line["why"], c.why)
			require.Contains(t, line["do"], c.do)

			people := inProcessAt(c.receiver(), now, "", args...)
			require.Equal(t, 1, people.code)
			require.Contains(t, people.stdout, "result  NOT authentic\n")
			require.Contains(t, people.stdout, c.fault)
			require.Contains(t, people.stdout, "do      ")
			for _, secret := range []string{c.sender(), c.receiver()["HOOKTOOL_SECRET"]} {
				require.NotContains(t, r.stdout+r.stderr+people.stdout+people.stderr, strings.TrimPrefix(secret, "whsec_"), "no secret is printed")
			}
			require.NotRegexp(t, goNames, r.stdout+people.stdout)
		})
	}
}

// Notes say what else is known.
func TestVerify_Notes(t *testing.T) {
	t.Parallel()
	cut := func(r *recorded) {
		r.Header.Set("Content-Length", strconv.Itoa(len(sampleBody)))
		r.setBody([]byte(sampleBody[:100]))
	}
	late := []string{"-at", "2026-11-28T12:06:00Z"}
	for note, c := range map[string]broken{
		"it was cut off or changed after it was sent": {spoil: cut},
		"the body is empty":                           {spoil: body(func(string) string { return "" })},
		"more than 64 KiB":                            {spoil: body(func(b string) string { return b + strings.Repeat(" ", 64<<10) })},
		"so only the time is wrong":                   {args: late},
		"the time is not all: no key matches":         {args: late, spoil: body(func(b string) string { return b + "x" })},
	} {
		c.scheme = "standard"
		path, err := c.record(t).write(t.TempDir(), 1, "")
		require.NoError(t, err)
		r := inProcess(c.receiver(), "", append([]string{"verify", path, "-json"}, c.args...)...)
		require.Equal(t, 1, r.code, r.stderr)
		require.Contains(t, fmt.Sprint(r.lines(t)[0]["notes"]), note)
	}
}

// The same requests without their fault are authentic, for each scheme.
func TestVerify_AcceptsEachScheme(t *testing.T) {
	t.Parallel()
	for _, s := range schemes() {
		secret := literalText
		if s.standard {
			secret = standardSecret
		}
		o := schemeFlags{keyID: "2026", user: "me"}
		args := []string{"-json"}
		switch s.name {
		case "httpsig":
			args = append(args, "-key-id", "2026")
		case "basic":
			args = append(args, "-user", "me")
		case "body-only":
			o.header, o.mark = "X-Acme-Signature", "v1="
			args = append(args, "-header", "X-Acme-Signature", "-signature-prefix", "v1=")
		}
		rec := signedRecord(t, s.name, secret, o)
		path, err := rec.write(t.TempDir(), 1, "")
		require.NoError(t, err)
		for _, more := range [][]string{nil, {"-scheme", s.name}} {
			r := inProcess(env{"HOOKTOOL_SECRET": secret}, "", append(append([]string{"verify", path}, args...), more...)...)
			require.Equal(t, 0, r.code, "%s %s %s", s.name, r.stdout, r.stderr)
			require.Equal(t, true, r.lines(t)[0]["ok"])
		}
	}
}

// Headers and body can also come from flags and files.
func TestVerify_HeadersAndBodyByFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mac := "sha256=" + hex.EncodeToString(macOf(literalText, sampleBody))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "body.json"), []byte(sampleBody), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "headers.txt"), []byte("POST /hooks HTTP/1.1\r\nHost: a.example:8080\r\nX-Hub-Signature-256: "+mac+"\r\n\r\n"), 0o600))
	for _, args := range [][]string{
		{"-H", "X-Hub-Signature-256: " + mac, "-body", "body.json"},
		{"-headers", "headers.txt", "-body", "body.json"},
	} {
		r := program(t, dir, env{"HOOKTOOL_SECRET": literalText}, append([]string{"verify"}, args...)...)
		require.Equal(t, 0, r.code, r.stderr)
		require.Contains(t, r.stdout, "scheme  github")
	}
	r := inProcess(env{"HOOKTOOL_SECRET": literalText}, sampleBody, "verify", "-H", "x-hub-signature-256: "+mac, "-body", "-")
	require.Equal(t, 0, r.code, r.stderr)
}

func TestVerify_UsageErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, err := signedRecord(t, "standard", standardSecret, schemeFlags{}).write(dir, 1, "")
	require.NoError(t, err)
	plain := filepath.Join(dir, "plain.json")
	require.NoError(t, os.WriteFile(plain, []byte(sampleBody), 0o600))
	good := env{"HOOKTOOL_SECRET": standardSecret}
	for says, c := range map[string]struct {
		env  env
		args []string
	}{
		"HOOKTOOL_SECRET":                  {nil, []string{path}},
		"has no member format":             {good, []string{plain}},
		"no request":                       {good, nil},
		"leave out -H":                     {good, []string{path, "-body", plain}},
		"-scheme \"md5\": want standard":   {good, []string{path, "-scheme", "md5"}},
		"-tolerance":                       {good, []string{path, "-tolerance", "48h"}},
		"want 1s to 24h":                   {good, []string{path, "-tolerance", "0"}},
		"-at \"soon\"":                     {good, []string{path, "-at", "soon"}},
		"-previous-until":                  {good, []string{path, "-previous-until", "soon"}},
		"no such file":                     {good, []string{filepath.Join(dir, "none.json")}},
		"is set without HOOKTOOL_SECRET":   {env{"HOOKTOOL_PREVIOUS_SECRET": otherSecret}, []string{path}},
		"both HOOKTOOL_SECRET and":         {env{"HOOKTOOL_SECRET": "x", "HOOKTOOL_SECRET_FILE": plain}, []string{path}},
		"HOOKTOOL_SECRET_FILE":             {env{"HOOKTOOL_SECRET_FILE": dir}, []string{path}},
		"want 'Name: value'":               {good, []string{"-H", "nonsense", "-body", plain}},
		"needs the key's ID; give -key-id": {good, []string{path, "-scheme", "httpsig"}},
	} {
		r := inProcess(c.env, "", append([]string{"verify"}, c.args...)...)
		require.Equal(t, 2, r.code, "%s: %s%s", says, r.stdout, r.stderr)
		require.Contains(t, r.stderr, says)
		require.NotRegexp(t, goNames, r.stderr)
		require.Equal(t, 1, strings.Count(r.stderr, "\n"))
	}
}
