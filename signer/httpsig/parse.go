package httpsig

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/deployhook/deployhook/signer"
)

const (
	inputHeader     = "Signature-Input"
	signatureHeader = "Signature"
	digestHeader    = "Content-Digest"
	digestAlgorithm = "sha-256"

	maxHeader     = 8 << 10
	maxSignatures = 16
	maxComponents = 32
	// maxBase bounds the bytes that one signature makes us hash. Covered
	// headers can be as long as the server accepts.
	maxBase             = 32 << 10
	maxSignaturesPerKey = 2
)

// signature is one labelled entry of the two signature headers.
type signature struct {
	list  httpsfv.InnerList
	bytes []byte
}

// dictionary reads a header that must occur exactly once and be a dictionary in
// the canonical form of RFC 9651 §4.1. The canonical form leaves one spelling
// for each value. A parser alone would let the last of several equal labels or
// parameters win.
func dictionary(h http.Header, name string) (*httpsfv.Dictionary, error) {
	text, err := single(h, name)
	if err != nil {
		return nil, err
	}
	if len(text) > maxHeader {
		return nil, fmt.Errorf("%w: %s has %d bytes; at most %d", signer.ErrMalformed, name, len(text), maxHeader)
	}
	dict, err := httpsfv.UnmarshalDictionary([]string{text})
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not a structured dictionary", signer.ErrMalformed, name)
	}
	if again, err := httpsfv.Marshal(dict); err != nil || again != text {
		return nil, fmt.Errorf("%w: %s is not in its canonical form (white space, or a label or parameter twice)", signer.ErrMalformed, name)
	}
	return dict, nil
}

// parse reads the two signature headers, RFC 9421 §4. Both must have the same
// labels.
func parse(h http.Header) ([]signature, error) {
	inputs, err := dictionary(h, inputHeader)
	if err != nil {
		return nil, err
	}
	values, err := dictionary(h, signatureHeader)
	if err != nil {
		return nil, err
	}
	labels := inputs.Names()
	if len(labels) == 0 || len(labels) > maxSignatures || len(labels) != len(values.Names()) {
		return nil, fmt.Errorf("%w: %s has %d signatures and %s %d; want the same, 1 to %d", signer.ErrMalformed,
			inputHeader, len(labels), signatureHeader, len(values.Names()), maxSignatures)
	}
	signatures := make([]signature, 0, len(labels))
	for _, label := range labels {
		input, _ := inputs.Get(label)
		list, ok := input.(httpsfv.InnerList)
		if !ok || len(list.Items) > maxComponents {
			return nil, fmt.Errorf("%w: a member of %s is not a list of at most %d components", signer.ErrMalformed, inputHeader, maxComponents)
		}
		value, _ := values.Get(label)
		item, ok := value.(httpsfv.Item)
		raw, isBytes := item.Value.([]byte)
		if !ok || !isBytes || len(item.Params.Names()) > 0 {
			return nil, fmt.Errorf("%w: %s does not have the bytes of each signature of %s", signer.ErrMalformed, signatureHeader, inputHeader)
		}
		signatures = append(signatures, signature{list: list, bytes: raw})
	}
	return signatures, nil
}

// keyID returns the keyid parameter. It is empty if the parameter is absent or
// can't be the ID of a key.
func (s signature) keyID() string {
	value, _ := s.list.Params.Get("keyid")
	id, _ := value.(string)
	return id
}

// components returns the names of the covered components. A component with a
// parameter (sf, bs, key, req, tr) is refused, because the parameter changes
// its value.
func (s signature) components() ([]string, error) {
	names := make([]string, 0, len(s.list.Items))
	for _, item := range s.list.Items {
		name, ok := item.Value.(string)
		if !ok || len(item.Params.Names()) > 0 || slices.Contains(names, name) {
			return nil, fmt.Errorf("%w: a covered component has parameters, is repeated or is not a string", signer.ErrMalformed)
		}
		names = append(names, name)
	}
	for _, name := range required() {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("%w: the signature does not cover %s", signer.ErrMalformed, name)
		}
	}
	return names, nil
}

// checkParams checks the parameters other than keyid, RFC 9421 §2.3, and
// returns the time of created.
func (s signature) checkParams(key Key, now time.Time, tolerance time.Duration) (time.Time, error) {
	for _, name := range s.list.Params.Names() {
		value, _ := s.list.Params.Get(name)
		text, isText := value.(string)
		_, isTime := unixTime(value)
		ok := false
		switch name {
		case "created", "expires":
			ok = isTime
		case "alg":
			ok = text == key.algorithm()
		case "keyid", "nonce", "tag":
			ok = isText
		}
		if !ok {
			return time.Time{}, fmt.Errorf("%w: parameter %.64s of the signature by key %q is unknown, of the wrong type or does not fit the key", signer.ErrMalformed, name, key.id)
		}
	}
	value, _ := s.list.Params.Get("created")
	created, ok := unixTime(value)
	if !ok {
		return time.Time{}, fmt.Errorf("%w: the signature by key %q has no created parameter", signer.ErrMalformed, key.id)
	}
	if err := signer.CheckAge("created", created, now, tolerance); err != nil {
		return time.Time{}, err
	}
	if value, ok := s.list.Params.Get("expires"); ok {
		if expires, _ := unixTime(value); now.After(expires) {
			return time.Time{}, fmt.Errorf("%w: the signature expired %v ago", signer.ErrTooOld, now.Sub(expires).Truncate(time.Second))
		}
	}
	return created, nil
}

func unixTime(value any) (time.Time, bool) {
	seconds, ok := value.(int64)
	at := time.Unix(seconds, 0)
	return at, ok && signer.CheckTime(at) == nil
}

// checkDigest compares the sha-256 of Content-Digest, RFC 9530 §2, with the
// body. It ignores digests by other algorithms.
func checkDigest(h http.Header, body []byte) error {
	sum := sha256.Sum256(body)
	if text, err := single(h, digestHeader); err == nil && text == digestText(sum) {
		return nil // the form that most senders use, without the cost of the parser
	}
	digests, err := dictionary(h, digestHeader)
	if err != nil {
		return err
	}
	value, _ := digests.Get(digestAlgorithm)
	item, _ := value.(httpsfv.Item)
	digest, ok := item.Value.([]byte)
	if !ok || len(digest) != sha256.Size || len(item.Params.Names()) > 0 {
		return fmt.Errorf("%w: %s has no %s of %d bytes", signer.ErrMalformed, digestHeader, digestAlgorithm, sha256.Size)
	}
	if [sha256.Size]byte(digest) != sum {
		return fmt.Errorf("%w: the body is not the one that %s was made of; something rewrote it on the way", signer.ErrNoMatch, digestHeader)
	}
	return nil
}

func digestText(sum [sha256.Size]byte) string {
	return digestAlgorithm + "=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}
