package main

import (
	"errors"
	"regexp"
	"strings"

	"github.com/deployhook/deployhook/signer"
)

// fault is what is wrong with a request.
type fault struct {
	Code string `json:"fault"` // for programs; the README lists them
	Part string `json:"part"`  // where it is
	Why  string `json:"why"`
	Do   string `json:"do"` // what to do about it
}

// diagnosis maps an error of the library to a fault. The first entry that fits
// counts.
type diagnosis struct {
	is     error
	says   string // a part of the error's text; empty fits any
	code   string
	part   string // empty is the header that the error names
	advice string
}

const (
	partBody      = "body"
	partSecret    = "secret"
	partSignature = "signature"
)

// diagnoses returns the table.
func diagnoses() []diagnosis {
	return append(append(headerFaults(), timeFaults()...), matchFaults()...)
}

func headerFaults() []diagnosis {
	missing, malformed := signer.ErrMissingHeader, signer.ErrMalformed
	return []diagnosis{
		{missing, "is this the right scheme", "wrong-scheme", "", "Verify with the scheme of the header that is there. Leave -scheme out to choose it by the headers."},
		{missing, "", "missing-header", "", "Let the sender set this header. If it does, a proxy or a framework in between removes it."},
		{malformed, " times; want exactly one", "repeated-header", "", "Send the header once. A proxy that adds one must replace the first one."},
		{malformed, "milliseconds", "timestamp-unit", "", "Divide by 1000. The time is in whole seconds."},
		{malformed, "is not a Unix time", "timestamp-form", "", "Send the Unix time in whole seconds as plain digits."},
		{malformed, "more than one t", "repeated-time", "", "Send the time once. A proxy may have joined two headers."},
		{malformed, "has no t", "missing-time", "", "Put the time into the header, as in t=1764000000,v1=…"},
		{malformed, "without a dot", "id-form", "", "Make IDs of visible ASCII without dots. A dot separates ID, time and body in what is signed."},
		{malformed, "signatures", "too-many-signatures", "", "Sign with the current and the previous key only. A receiver tries at most 16 signatures."},
		{malformed, "at most 8192", "oversize-header", "", "Send only the signatures. A receiver reads at most 8192 bytes."},
		{malformed, "; it is ", "signature-encoding", "", "Encode the signature as the scheme does: base64 for standard, lower-case hex for most others."},
		{malformed, "quotation marks or blanks", "signature-quoted", "", "Send the signature without quotation marks and blanks around it."},
		{malformed, "that begins with", "signature-version", "", "Let the sender sign with the version that the scheme has."},
		{malformed, "does not cover", "signed-content", partSignature, "Let the sender cover all components that the scheme requires."},
		{malformed, "", "signature-form", "", "Compare the header with that of hooktool sign."},
	}
}

func timeFaults() []diagnosis {
	return []diagnosis{
		{signer.ErrTooOld, "", "stale", "", "Sign each attempt again with the time of the attempt. If a recorded request was sent again, use hooktool replay with HOOKTOOL_SECRET. Otherwise check both clocks, and queues in between."},
		{signer.ErrTooNew, "", "future", "", "Set the sender's clock by NTP, and check this machine's."},
	}
}

func matchFaults() []diagnosis {
	const (
		rewritten = "Verify the bytes as they arrived, before any framework parses them. Let the sender sign the bytes that it sends."
		twoWays   = "Read the secret in the same way on both sides. Standard Webhooks decodes what follows whsec_ from base64. Other schemes take the text as it is."
	)
	no := signer.ErrNoMatch
	return []diagnosis{
		{no, "past its NotAfter", "key-ended", partSecret, "Let the sender sign with the new secret. Until it does, extend the end of the old one."},
		{no, "byte order mark in front of it", "body-bom", partBody, "Remove the byte order mark, or sign it too. An editor or a text writer added it on one side."},
		{no, "line end after it", "body-line-end", partBody, "Send the body with the line end that was signed. With curl use --data-binary, because -d removes it."},
		{no, "white space around it", "body-white-space", partBody, "Send and verify the same bytes. An editor, a template or echo adds a line end."},
		{no, "as line ends", "body-line-ends", partBody, "Send the bytes that were signed. Something converted line ends, as git and FTP do."},
		{no, "decoded from base64, as gateways", "body-base64", partBody, "Decode the body before you verify. Gateways for functions mark it with isBase64Encoded."},
		{no, "JSON string that arrived", "body-encoded-twice", partBody, "Send the JSON text itself. The sender's client has encoded the text again."},
		{no, "form's field payload", "body-form", partBody, "Choose application/json as the content type at the sender."},
		{no, "became escapes", "body-escapes", partBody, rewritten},
		{no, "became characters", "body-escapes", partBody, rewritten},
		{no, "matches the body after its JSON", "body-reencoded", partBody, rewritten},
		{no, "matches the body", "body-changed", partBody, rewritten},
		{no, "two sides read the secret differently", "secret-form", partSecret, twoWays},
		{no, "is signed: the sender uses another scheme", "signed-content", partSignature, "Let the sender sign all parts that the scheme signs, in its order."},
		{no, "a v1 entry is", "signature-encoding", partSignature, "Encode the signature in padded base64 after v1 and a comma."},
		{no, "lacks the version", "signature-form", partSignature, "Write v1 and a comma in front of the signature."},
		{no, "other versions", "signature-version", partSignature, "Let the sender sign with v1 (HMAC-SHA256) or v1a (Ed25519)."},
		{no, "is this the right scheme", "wrong-scheme", "", "Verify with the scheme of the header that is there. Leave -scheme out to choose it by the headers."},
		{no, "does not fit the request", "request-target", "request", "Send the request to the URL and with the method and content type that were signed. Behind a proxy give the public address with -external-url."},
		{no, "keyid of an active key", "key-id", partSecret, "Give the ID that the sender uses with -key-id."},
		{no, "is not the SHA-256 of the body", "body-changed", partBody, rewritten},
		{no, "something rewrote it on the way", "body-changed", partBody, rewritten},
		{signer.ErrInvalidAPIKey, "occurs", "repeated-header", "", "Send the header once."},
		{signer.ErrInvalidAPIKey, "", "api-key", "", "Send the key that HOOKTOOL_SECRET has, with -header if it is not in Authorization."},
		{no, "", "secret-or-body", "secret or body", "Compare the secrets of both sides. If they are the same, compare the bytes that the sender signed with the body that arrived."},
	}
}

var headerInText = regexp.MustCompile(`\b(?:[A-Z][A-Za-z0-9]*-)+[A-Z0-9][A-Za-z0-9]*\b|\b(?:Authorization|Signature|Date|Digest)\b`)

// explain returns the fault that an error of a verifier stands for.
func explain(err error) fault {
	text := oneLine(err.Error())
	for _, d := range diagnoses() {
		if !errors.Is(err, d.is) || !strings.Contains(text, d.says) {
			continue
		}
		f := fault{Code: d.code, Part: d.part, Why: plainWhy(text), Do: d.advice}
		if f.Part == "" {
			f.Part = partSignature
			if name := headerInText.FindString(f.Why); name != "" {
				f.Part = "header " + name
			}
		}
		return f
	}
	return fault{Code: "unverified", Part: partSignature, Why: plainWhy(text), Do: "Check the flags of the scheme."}
}

// plainWhy removes what only programmers of the library know.
func plainWhy(text string) string {
	text = plainError(text)
	text = strings.ReplaceAll(text, "past its NotAfter time", "past its end")
	return strings.ReplaceAll(text, "(behind a proxy, see WithExternalURL)", "(behind a proxy, give -external-url)")
}
