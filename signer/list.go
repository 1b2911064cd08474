package signer

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// maxPairs is how many Ed25519 signatures of a request count. One Ed25519
// verification costs as much as two MACs or more, and each signature has to be
// tried with each key.
const maxPairs = 2

// signatures are the well-formed signatures of a request's list.
type signatures struct {
	macs    [maxSignatures][macSize]byte
	pairs   [maxPairs][ed25519.SignatureSize]byte
	nMACs   int
	nPairs  int
	skipped int // entries that are no well-formed signature of a known version
}

// v1 returns the HMAC signatures.
func (s *signatures) v1() [][macSize]byte { return s.macs[:s.nMACs] }

// v1a returns the Ed25519 signatures that count.
func (s *signatures) v1a() [][ed25519.SignatureSize]byte { return s.pairs[:s.nPairs] }

// counts describes the list in an error.
func (s *signatures) counts() string {
	return fmt.Sprintf("%d v1 and %d v1a signature(s) and %d other entries", s.nMACs, s.nPairs, s.skipped)
}

// addPair keeps an Ed25519 signature if it is new and among the first that
// count.
func (s *signatures) addPair(pair [ed25519.SignatureSize]byte) {
	if s.nPairs < maxPairs && !slices.Contains(s.v1a(), pair) {
		s.pairs[s.nPairs] = pair
		s.nPairs++
	}
}

// parseStandard reads a space-separated list of "version,signature". It skips
// other entries, but counts them towards the limits.
func (s *signatures) parseStandard(list string) error {
	if len(list) > maxSignatureHeader {
		return fmt.Errorf("%w: %s has %d bytes; at most %d", ErrMalformed, HeaderSignature, len(list), maxSignatureHeader)
	}
	for entries, more := 0, true; more; entries++ {
		if entries == maxSignatures {
			return fmt.Errorf("%w: %s has more than %d signatures", ErrMalformed, HeaderSignature, maxSignatures)
		}
		var entry string
		entry, list, more = strings.Cut(list, " ")
		version, encoded, _ := strings.Cut(entry, ",")
		var pair [ed25519.SignatureSize]byte
		switch {
		case version == versionHMAC && decodeBase64(s.macs[s.nMACs][:], encoded):
			s.nMACs++
		case version == versionEd25519 && decodeBase64(pair[:], encoded):
			s.addPair(pair)
		default:
			s.skipped++
		}
	}
	return nil
}

// decodeBase64 fills dst from its one canonical spelling, which is padded
// standard base64 with zero trailing bits.
func decodeBase64(dst []byte, encoded string) bool {
	if len(encoded) != base64.StdEncoding.EncodedLen(len(dst)) {
		return false
	}
	// Both arrays live on the stack. The decoder skips line ends, so a text of
	// the right length can still yield too few bytes.
	var text [encodedEd25519]byte
	var raw [ed25519.SignatureSize + 2]byte
	n, err := strictBase64.Decode(raw[:], text[:copy(text[:], encoded)])
	if err != nil || n != len(dst) {
		return false
	}
	copy(dst, raw[:n])
	return true
}

// strictBase64 refuses non-zero trailing bits, so that each signature has one
// spelling.
var strictBase64 = base64.StdEncoding.Strict()
