package console

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/deployhook/deployhook/sender/outbox"
)

// sample is a program that sends the delivery from the customer's own machine.
// It signs with the customer's secret, which is in the environment. No page has
// a signature that could be sent.
type sample struct {
	Name, Text string
}

// maxInline bounds a body that is written into a program.
const maxInline = 4 << 10

// samples are the programs for a delivery, or why they are missing.
func samples(d outbox.Delivery, e outbox.Endpoint) ([]sample, string) {
	switch e.Scheme {
	case outbox.SchemeEd25519, outbox.SchemeHTTPSig:
		return nil, "Deliveries to this endpoint are signed with a private key that only the sender has. Send a test event instead."
	}
	if len(d.Body) == 0 {
		return nil, "The body is gone, so the delivery can't be sent again."
	}
	inline := len(d.Body) <= maxInline && utf8.Valid(d.Body) && !strings.ContainsAny(string(d.Body), "\x00`")
	out := []sample{{"curl", curl(d, e, inline)}}
	if e.Scheme != outbox.InsecureUnsigned && e.Scheme != outbox.SchemeBearer {
		out = append(out, sample{"Go test", goTest(d, e, inline)})
	}
	return out, ""
}

// quote is a word of a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// curl is a shell script.
func curl(d outbox.Delivery, e outbox.Endpoint, inline bool) string {
	var b strings.Builder
	b.WriteString("# WEBHOOK_URL is the endpoint's URL, and WEBHOOK_SECRET its secret.\n")
	if inline {
		b.WriteString("printf %s " + quote(string(d.Body)) + " > delivery.bin\n")
	} else {
		b.WriteString("# delivery.bin is the download of the exact bytes.\n")
	}
	send := func(headers ...string) string {
		var s strings.Builder
		s.WriteString("curl -i \"$WEBHOOK_URL\" -H " + quote("Content-Type: "+d.ContentType))
		for _, h := range headers {
			s.WriteString(" \\\n  -H " + h)
		}
		return s.String() + " \\\n  --data-binary @delivery.bin\n"
	}
	id := quote("Webhook-Id: " + d.ID)
	hmac := func(key, before, encode string) string {
		return "timestamp=$(date +%s)\n" + key + "signature=$({ printf %s \"" + before + "\"; cat delivery.bin; } | openssl dgst -sha256 -mac HMAC -macopt hexkey:\"$key\" " + encode + ")\n"
	}
	const (
		decoded = "key=$(printf %s \"${WEBHOOK_SECRET#whsec_}\" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \\n')\n"
		literal = "key=$(printf %s \"$WEBHOOK_SECRET\" | od -An -v -tx1 | tr -d ' \\n')\n"
		hex     = "-r | cut -d ' ' -f 1"
	)
	switch e.Scheme {
	case outbox.SchemeTimestamped:
		prefix := or(e.SignatureHeader, "X-Webhook")
		b.WriteString(hmac(literal, "$timestamp.", hex))
		b.WriteString(send(quote(prefix+"-Id: "+d.ID), `"`+prefix+`-Timestamp: $timestamp"`, `"`+prefix+`-Signature: $signature"`))
	case outbox.SchemeStripe:
		b.WriteString(hmac(literal, "$timestamp.", hex))
		b.WriteString(send(`"` + or(e.SignatureHeader, "Stripe-Signature") + `: t=$timestamp,v1=$signature"`))
	case outbox.SchemeBearer:
		b.WriteString(send(bearer(e)))
	case outbox.InsecureUnsigned:
		b.WriteString(send())
	default:
		b.WriteString(hmac(decoded, d.ID+".$timestamp.", "-binary | openssl base64 -A"))
		b.WriteString(send(id, `"Webhook-Timestamp: $timestamp"`, `"Webhook-Signature: v1,$signature"`))
	}
	return b.String()
}

func bearer(e outbox.Endpoint) string {
	if e.SignatureHeader != "" {
		return `"` + e.SignatureHeader + `: $WEBHOOK_SECRET"`
	}
	return `"Authorization: Bearer $WEBHOOK_SECRET"`
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// goTest is a file that go test runs.
func goTest(d outbox.Delivery, e outbox.Endpoint, inline bool) string {
	parse, scheme := "signer.ParseSecret", "signer.NewStandard(secret)"
	switch e.Scheme {
	case outbox.SchemeTimestamped:
		parse, scheme = "signer.NewLiteralSecret", "signer.NewTimestamped(secret"
		if e.SignatureHeader != "" {
			scheme += ", signer.WithHeaderPrefix(" + strconv.Quote(e.SignatureHeader) + ")"
		}
		scheme += ")"
	case outbox.SchemeStripe:
		parse, scheme = "signer.NewLiteralSecret", "signer.NewStripe(secret"
		if e.SignatureHeader != "" {
			scheme += ", signer.WithHeader(" + strconv.Quote(e.SignatureHeader) + ")"
		}
		scheme += ")"
	}
	read, embed := "body := []byte(`"+string(d.Body)+"`)", ""
	if !inline {
		read, embed = "body := delivery", "\n//go:embed delivery.bin\nvar delivery []byte // the download of the exact bytes\n"
	}
	imports := `"bytes"`
	if embed != "" {
		imports += "\n\t_ \"embed\""
	}
	return fmt.Sprintf(goFile, imports, embed, read, parse, scheme, strconv.Quote(d.ContentType), strconv.Quote(d.ID))
}

const goFile = `package webhook

import (
	%s
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/deployhook/deployhook/signer"
)
%s
func TestDelivery(t *testing.T) {
	%s
	secret, err := %s(os.Getenv("WEBHOOK_SECRET"))
	if err != nil {
		t.Fatal(err)
	}
	scheme, err := %s
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, os.Getenv("WEBHOOK_URL"), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", %s)
	if err := scheme.Sign(t.Context(), r, %s, time.Now(), body); err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		t.Fatalf("the endpoint answered %%s", answer.Status)
	}
}
`
