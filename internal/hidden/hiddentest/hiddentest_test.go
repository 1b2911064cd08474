package hiddentest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/hidden"
	"github.com/deployhook/deployhook/internal/hidden/hiddentest"
)

const canary = "CANARYCANARYCANARYCANARYCANARYCA"

// failures collects the reports of a check.
type failures struct{ texts []string }

func (f *failures) Helper() {}
func (f *failures) Errorf(format string, args ...any) {
	f.texts = append(f.texts, fmt.Sprintf(format, args...))
}
func (f *failures) FailNow() { panic(f) }

func report(check func(t hiddentest.T)) (text string) {
	f := &failures{}
	defer func() {
		_ = recover()
		text = strings.Join(f.texts, "\n")
	}()
	check(f)
	return ""
}

// redacting hides its text from every verb, but only while fmt may call its
// methods.
type redacting struct{ text string }

func (redacting) String() string                   { return "redacted" }
func (redacting) Format(f fmt.State, _ rune)       { _, _ = f.Write([]byte("redacted")) }
func (redacting) MarshalText() ([]byte, error)     { return []byte("redacted"), nil }
func (r redacting) behindPointer() struct{ p any } { return struct{ p any }{&r} }

type holder struct {
	hidden.Value[string]
	Shown  string
	hidden hidden.Value[[]byte]
}

func TestRequireHidden(t *testing.T) {
	t.Parallel()
	hiddentest.RequireHidden(t, []string{canary}, hidden.Of(canary), hidden.Of([]byte(canary)),
		holder{hidden.Of(canary), "shown", hidden.Of([]byte(canary))}, hidden.Of(canary).Reveal, hidden.Value[string]{})
	for name, leaky := range map[string]any{
		"text": canary, "bytes": []byte(canary), "a redacting type": redacting{canary}, "behind a pointer": redacting{canary}.behindPointer(),
		"hex": fmt.Sprintf("%x", canary), "an error": fmt.Errorf("failed with %s", canary), "a channel's neighbour": struct {
			c chan int
			s string
		}{nil, canary},
	} {
		require.Contains(t, report(func(t hiddentest.T) { hiddentest.RequireHidden(t, []string{canary}, leaky) }), "a secret is shown", name)
	}
}

func TestRevealGivesTheValueBack(t *testing.T) {
	t.Parallel()
	require.Equal(t, canary, hidden.Of(canary).Reveal())
	require.False(t, hidden.Of(canary).IsZero())
	require.True(t, hidden.Value[string]{}.IsZero())
	require.Empty(t, hidden.Value[string]{}.Reveal())
}

// RequireCovered reports the name of a type that holds a secret and is not in
// the list. It also reports an unnecessary excuse. RequireNone reports the
// types of all directories.
func TestRequireCoveredNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	text := report(func(t hiddentest.T) { hiddentest.RequireCovered(t, "../../../signer", nil) })
	require.Contains(t, text, "deployhook/signer.Secret holds one by its name")
	text = report(func(t hiddentest.T) { hiddentest.RequireNone(t, "../../../dedupe", "../../../sender") })
	require.Contains(t, text, "deployhook/sender.Endpoint holds one by URL")
	text = report(func(t hiddentest.T) {
		hiddentest.RequireCovered(t, "../../../dedupe/sqldedupe", map[string]string{"sqldedupe.Store": "it holds none"})
	})
	require.Contains(t, text, "sqldedupe.Store")
}
