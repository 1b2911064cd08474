package main

import (
	"errors"
	"strings"
	"time"

	"github.com/deployhook/deployhook/signer"
)

// keyNames are the names of the keys in the output.
var keyNames = [...]string{"the secret", "the previous secret"}

// ring has the secrets of a command.
type ring struct{ current, previous credential }

// ring reads the secrets. Both may be missing.
func (c *call) ring() (ring, error) {
	current, err := c.credential(secretVariable)
	if err != nil {
		return ring{}, err
	}
	previous, err := c.credential(previousVariable)
	if err == nil && previous.given() && !current.given() {
		err = usagef("%s is set without %s; set that too, or instead", previousVariable, secretVariable)
	}
	return ring{current, previous}, err
}

// keys returns the secrets as keys of a scheme.
func (g ring) keys(s scheme, o *schemeFlags) ([]signer.Key, error) {
	if !g.current.given() {
		return nil, usagef("no secret for -scheme %s; set %s or %s_FILE", s.name, secretVariable, secretVariable)
	}
	var end time.Time
	if o.previousUntil != "" {
		t, err := time.Parse(time.RFC3339, o.previousUntil)
		if err != nil {
			return nil, usagef("-previous-until %q: want a time such as 2026-11-28T12:00:00Z", cut(o.previousUntil, 40))
		}
		end = t
	}
	var keys []signer.Key
	for i, c := range []credential{g.current, g.previous} {
		if !c.given() {
			continue
		}
		key, err := parseKey(s, c.reveal())
		if err != nil {
			return nil, usagef("%s with -scheme %s: %s", c.source, s.name, secretMistake(err))
		}
		if i == 0 {
			keys = append(keys, named(key, keyNames[i], time.Time{}))
		} else {
			keys = append(keys, named(key, keyNames[i], end))
		}
	}
	return keys, nil
}

// plausible finds mistakes in secrets whose scheme is not known yet.
func (g ring) plausible() error {
	for _, c := range []credential{g.current, g.previous} {
		if !c.given() {
			continue
		}
		if _, err := parseKey(scheme{standard: strings.HasPrefix(c.reveal(), "whsk_") || strings.HasPrefix(c.reveal(), "whpk_")}, c.reveal()); err != nil {
			return usagef("%s: %s", c.source, secretMistake(err))
		}
	}
	return nil
}

// named returns a key with a name for the output and an end.
func named(key signer.Key, name string, end time.Time) signer.Key {
	switch k := key.(type) {
	case signer.Secret:
		return k.Named(name).NotAfter(end)
	case signer.SigningKey:
		return k.Named(name).NotAfter(end)
	case signer.VerifyingKey:
		return k.Named(name).NotAfter(end)
	}
	return key
}

func parseKey(s scheme, text string) (signer.Key, error) {
	switch {
	case !s.standard:
		return signer.NewLiteralSecret(text)
	case strings.HasPrefix(text, "whsk_"):
		return signer.ParseSigningKey(text)
	case strings.HasPrefix(text, "whpk_"):
		return signer.ParseVerifyingKey(text)
	}
	return signer.ParseSecret(text)
}

// secretMistake explains an invalid secret without names of the Go API.
func secretMistake(err error) string {
	text := oneLine(err.Error())
	if strings.Contains(text, "NewLiteralSecret") {
		return "lacks the whsec_ prefix; any other text is a secret for schemes such as -scheme timestamped, stripe or github"
	}
	return plainError(text)
}

// plainError removes the names of the Go API from the library's error.
func plainError(text string) string {
	for _, sentinel := range []error{signer.ErrInvalidSecret, signer.ErrConfig, signer.ErrUnverified, signer.ErrInvalidMessage} {
		text = strings.TrimPrefix(text, sentinel.Error()+": ")
	}
	return strings.NewReplacer(
		"WithTolerance", "-tolerance ", "WithHeaderPrefix", "-header-prefix", "WithHeader", "-header", "WithSignaturePrefix", "-signature-prefix",
		"Standard: ", "", "Timestamped: ", "", "Stripe: ", "", "BodyOnly: ", "", "GitHub: ", "", "APIKeys: ", "", "Bearer: ", "",
	).Replace(text)
}

// newVerifier returns the verifier of a scheme.
func newVerifier(s scheme, o *schemeFlags, g ring) (signer.Scheme, error) {
	keys, err := g.keys(s, o)
	if err != nil {
		return nil, err
	}
	v, err := s.verifier(o, keys)
	return v, asUsage(s, err)
}

// newSigner returns the signer of a scheme.
func newSigner(s scheme, o *schemeFlags, g ring) (signer.Signer, error) {
	keys, err := g.keys(s, o)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if _, public := key.(signer.VerifyingKey); public {
			return nil, usagef("%s: a whpk_ key only verifies; sign with the whsk_ key that it belongs to", secretVariable)
		}
	}
	made, err := s.signer(o, keys)
	return made, asUsage(s, err)
}

func asUsage(s scheme, err error) error {
	var usage usageError
	if err == nil || errors.As(err, &usage) {
		return err
	}
	return usagef("-scheme %s: %s", s.name, plainError(oneLine(err.Error())))
}
