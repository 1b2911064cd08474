package signer

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// maxSpelled bounds the signature that is examined for its spelling.
const maxSpelled = 256

// misspelt returns "" or a hint that continues a sentence. The hint names the
// encoding of a signature that is not spelled as its scheme prescribes.
func misspelt(signature string) string {
	if len(signature) > maxSpelled {
		return ""
	}
	bare := strings.Trim(signature, marks+" \t")
	for _, mark := range [...]string{hashPrefix, "sha1=", "sha512=", "v1=", "v1,"} {
		if rest, found := strings.CutPrefix(bare, mark); found && rest != "" {
			bare = rest
			break
		}
	}
	if encoding := encodingOf(bare); encoding != "" {
		return "; it is " + encoding
	}
	if bare != signature && len(bare) > 0 && strings.Trim(signature, marks+" \t") != signature {
		return "; it has quotation marks or blanks around it"
	}
	return ""
}

// encodingOf names the encoding and the size of a MAC.
func encodingOf(text string) string {
	if _, err := hex.DecodeString(text); err == nil {
		kind := "hex"
		if strings.ToLower(text) != text {
			kind = "upper-case hex"
		}
		switch len(text) {
		case hexMAC:
			return kind
		case 40:
			return kind + " of the length of HMAC-SHA1"
		case 128:
			return kind + " of the length of HMAC-SHA512"
		}
		return ""
	}
	switch {
	case decodesTo(base64.StdEncoding, text):
		return "base64"
	case decodesTo(base64.RawStdEncoding, text):
		return "base64 without its padding"
	case decodesTo(base64.URLEncoding, text), decodesTo(base64.RawURLEncoding, text):
		return "URL-safe base64"
	}
	return ""
}

func decodesTo(encoding *base64.Encoding, text string) bool {
	raw, err := encoding.DecodeString(text)
	return err == nil && len(raw) == macSize
}

// oddEntries returns "" or a hint about the list of Standard, if none of its
// entries is a well-formed signature.
func oddEntries(list string) string {
	var versions []string
	for entry := range strings.SplitSeq(list, " ") {
		version, encoded, found := strings.Cut(entry, ",")
		switch {
		case !found && misspelt(entry) != "":
			return "; an entry lacks the version v1 and a comma"
		case version == versionHMAC:
			if hint := misspelt(encoded); hint != "" {
				return "; a v1 entry is " + strings.TrimPrefix(hint, "; it is ") + ", not padded base64"
			}
		case found && len(version) <= 8 && version != versionEd25519:
			versions = append(versions, version)
		}
	}
	if len(versions) == 0 {
		return ""
	}
	return "; all signatures are of other versions than v1 and v1a: does the sender sign with another algorithm?"
}
