package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/deployhook/deployhook/signer"
)

func secretCommand() command {
	return command{
		name:    "secret",
		summary: "make a secret, a key pair or an API key",
		about: `Makes a new random secret and prints it. This is the only command that
prints one.

  -kind whsec     a secret for Standard Webhooks; both sides get it
  -kind ed25519   a key pair for Standard Webhooks; the sender keeps whsk_, and
                  receivers get whpk_, with which they can't sign
  -kind literal   a secret for all other schemes
  -kind apikey    an API key, and the hash that the receiver stores

With -out the secret goes to a file that only you can read, and only what is
public is printed.`,
		examples: `hooktool secret
hooktool secret -kind ed25519
hooktool secret -out hook.secret            # then: export HOOKTOOL_SECRET_FILE=hook.secret`,
		setup: func(f *flag.FlagSet) func(context.Context, *call) error {
			kind := f.String("kind", "whsec", "whsec, ed25519, literal or apikey")
			out := f.String("out", "", "write the secret to this new `file` instead of printing it")
			prefix := f.String("prefix", "dhk", "beginning of an API key, before an underscore, so that scanners of secrets recognise it")
			return func(_ context.Context, c *call) error { return makeSecret(c, *kind, *out, *prefix) }
		},
	}
}

// made is a new secret. JSON names are those of the output.
type made struct {
	Kind   string `json:"kind"` // of the output line
	Type   string `json:"type"`
	Secret string `json:"secret,omitempty"`
	File   string `json:"file,omitempty"`
	Public string `json:"public,omitempty"` // whpk_…, or the hash of an API key
}

func makeSecret(c *call, kind, out, prefix string) error {
	if len(c.args) > 0 {
		return usagef("%d unexpected argument(s); give every value with a flag", len(c.args))
	}
	m := made{Kind: "secret", Type: kind}
	switch kind {
	case "whsec":
		m.Secret = signer.GenerateSecret().Reveal()
	case "literal":
		m.Secret = signer.GenerateLiteralSecret().Reveal()
	case "ed25519":
		key := signer.GenerateSigningKey()
		m.Secret, m.Public = key.Reveal(), key.VerifyingKey().String()
	case "apikey":
		key, err := signer.GenerateAPIKey(prefix)
		if err != nil {
			return usagef("-prefix %q: want 2 to 16 lower-case letters and digits, a letter first", cut(prefix, 40))
		}
		hash, err := signer.HashAPIKey(key.Reveal())
		if err != nil {
			return err
		}
		m.Secret, m.Public = key.Reveal(), hash.String()
	default:
		return usagef("-kind %q: want whsec, ed25519, literal or apikey", cut(kind, 40))
	}
	if out != "" {
		if err := writeSecret(out, m.Secret); err != nil {
			return err
		}
		m.Secret, m.File = "", out
	}
	m.print(c)
	return nil
}

// writeSecret never replaces a file, which may hold a secret in use.
func writeSecret(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return usagef("-out: %v", err)
	}
	if _, err := io.WriteString(file, text+"\n"); err != nil {
		_ = file.Close() // the first error counts
		return err
	}
	return file.Close()
}

func (m made) print(c *call) {
	if c.json {
		c.printJSON(m)
		return
	}
	if m.Public == "" && m.File == "" {
		fmt.Fprintln(c.stdout, m.Secret) // alone, for $(hooktool secret)
		return
	}
	private, public := "secret", "public"
	switch m.Type {
	case "ed25519":
		private, public = "sender", "receivers"
	case "apikey":
		private, public = "caller", "receiver"
	}
	var rows [][]string
	if m.File != "" {
		rows = append(rows, []string{private, "written to " + m.File})
	} else {
		rows = append(rows, []string{private, m.Secret})
	}
	if m.Public != "" {
		rows = append(rows, []string{public, m.Public})
	}
	printTable(c.stdout, rows)
}
