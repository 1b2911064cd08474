package signer_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// parsers are all that read a key's text.
func parsers() map[string]func(string) error {
	return map[string]func(string) error{
		"ParseSecret":       func(s string) error { _, err := signer.ParseSecret(s); return err },
		"NewLiteralSecret":  func(s string) error { _, err := signer.NewLiteralSecret(s); return err },
		"ParseSigningKey":   func(s string) error { _, err := signer.ParseSigningKey(s); return err },
		"ParseVerifyingKey": func(s string) error { _, err := signer.ParseVerifyingKey(s); return err },
		"HashAPIKey":        func(s string) error { _, err := signer.HashAPIKey(s); return err },
	}
}

// The error for a secret with extra text around it, or for the mere name of a
// variable, names the mistake.
func TestSecrets_NameTheMistake(t *testing.T) {
	t.Parallel()
	value := strings.TrimPrefix(specSecret, "whsec_")
	for text, says := range map[string]string{
		"":                               "environment variable",
		"v1," + specSecret:               "version of a signature",
		"v1," + value:                    "version of a signature",
		"v1a," + specSecret:              "version of a signature",
		`"` + specSecret + `"`:           "quotation marks",
		`'` + specSecret + `'`:           "quotation marks",
		"`" + specSecret + "`":           "quotation marks",
		"\u201c" + specSecret + "\u201d": "quotation marks",
		`"` + specSecret + "\"\n":        "quotation marks",
		`"` + specSecret:                 "quotation marks",
		specSecret + `"`:                 "quotation marks",
		`"` + value + `"`:                "quotation marks",
		"\ufeff" + specSecret:            "byte order mark",
		"$(DEPLOYHOOK_SECRET)":           "variable",
		"$(DEPLOYHOOK_SECRET)\n":         "variable",
		"${DEPLOYHOOK_SECRET}":           "variable",
		"${DEPLOYHOOK_SECRET:-none}":     "variable",
		"${{ secrets.DEPLOYHOOK }}":      "variable",
		"{{ .Values.webhook.secret }}":   "variable",
		"{{webhook_secret_variable}}":    "variable",
		"<%= ENV['WEBHOOK_SECRET'] %>":   "variable",
		"$DEPLOYHOOK_SECRET":             "variable",
		"%DEPLOYHOOK_SECRET%":            "variable",
		"$env:DEPLOYHOOK_SECRET":         "variable",
	} {
		for name, parse := range parsers() {
			err := parse(text)
			require.ErrorIs(t, err, signer.ErrInvalidSecret, "%s %q", name, text)
			require.ErrorContains(t, err, says, "%s %q", name, text)
			for _, part := range []string{value[:12], "DEPLOYHOOK", "webhook_secret"} {
				require.NotContains(t, err.Error(), part, "%s shows the value", name)
			}
		}
	}
}

// A text that only resembles a mistake is a valid literal secret.
func TestNewLiteralSecret_TakesMarksInside(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"It's a Secret to Everybody", "0123456789abcdef'", `"0123456789abcdef`, "$ecret-0123456789", "$secret_0123456789", "0123456789$(NAME)x",
		"v1-0123456789abcdef", "%7B0123456789abcdef", specSecret, "{0123456789abcdef}",
	} {
		key, err := signer.NewLiteralSecret(text)
		require.NoError(t, err, text)
		require.Equal(t, text, key.Reveal())
	}
}
