package interop

import (
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

var update = flag.Bool("update", false, "write the table of README.md anew")

// row is a line of the table. It describes a request that our schemes refuse.
type row struct {
	scheme  string // of ours
	input   string
	accepts []string // the peers that do; the others of the scheme refuse it too
	why     string
	build   func() probe
}

var peersOf = map[string][]string{
	"Standard": {standardGo, svixGo, standardJS, svixJS},
	"Stripe":   {stripeGo},
	"GitHub":   {githubGo, playGo},
}

const (
	goodSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	literal    = "a literal secret of no form"
	sevenths   = "0123456"
	otherByte  = "a byte that is not UTF-8, exchanged for another one"
)

var (
	goes  = []string{standardGo, svixGo}
	nodes = []string{standardJS, svixJS}
	all   = []string{standardGo, svixGo, standardJS, svixJS}
	hubs  = []string{githubGo, playGo}
)

// standard is a valid request in which a change can be made before and after
// signing. The signature covers the ID and time in the form in which peers
// print them, so only what a receiver accepts makes a difference.
func standard(change func(h http.Header)) func() probe {
	return func() probe {
		body, now := bodies["json"], seconds(time.Now())
		h := http.Header{"Webhook-Id": {testID}, "Webhook-Timestamp": {now}, "Webhook-Signature": {"v1," + standardMAC(goodSecret, testID, now, body)}}
		change(h)
		return probe{goodSecret, h, body}
	}
}

func edit(name string, change func(string) string) func() probe {
	return standard(func(h http.Header) { h.Set(name, change(h.Get(name))) })
}

// standardWith returns a request with another secret or ID, which is signed for
// it.
func standardWith(secret, id string) func() probe {
	return func() probe {
		body, now := bodies["json"], seconds(time.Now())
		return probe{secret, http.Header{
			"Webhook-Id": {id}, "Webhook-Timestamp": {now},
			"Webhook-Signature": {"v1," + standardMAC(strings.TrimSpace(secret), id, now, body)},
		}, body}
	}
}

// stripes returns a request in Stripe's layout. format contains the verbs for
// the printed time and the signature.
func stripes(secret string, at time.Duration, format func(t, v1 string) string) func() probe {
	return func() probe {
		body, now := bodies["json"], seconds(time.Now().Add(at))
		return probe{secret, http.Header{"Stripe-Signature": {format(now, hexMAC(secret, now, ".", string(body)))}}, body}
	}
}

func githubs(secret string, format func(mac string) string) func() probe {
	return func() probe {
		body := bodies["json"]
		return probe{secret, http.Header{"X-Hub-Signature-256": {format(hexMAC(secret, string(body)))}}, body}
	}
}

func prefix(p string) func(string) string { return func(s string) string { return p + s } }

func suffix(p string) func(string) string { return func(s string) string { return s + p } }

// flood puts 0.95 MB of other signatures before the valid one.
func flood(entry, between string) func(string) string {
	return func(good string) string { return strings.Repeat(entry+between, 950_000/len(entry+between)) + good }
}

var wrong = base64.StdEncoding.EncodeToString(make([]byte, 32))

var rows = []row{
	{"Standard", "timestamp `+1764000000`", all, "two spellings of one time: what is signed is not the text that was sent", edit("Webhook-Timestamp", prefix("+"))},
	{"Standard", "timestamp `0001764000000`", all, "as above", edit("Webhook-Timestamp", prefix("000"))},
	{"Standard", "timestamp `1764000000abc`", nodes, "as above: `parseInt` stops at the first letter", edit("Webhook-Timestamp", suffix("abc"))},
	{"Standard", "timestamp `1764000000.9`", nodes, "as above", edit("Webhook-Timestamp", suffix(".9"))},
	{"Standard", "timestamp with a blank before it", nodes, "as above", edit("Webhook-Timestamp", prefix(" "))},
	{"Standard", "timestamp a year ahead", nil, "could be replayed for a year", func() probe {
		body, at := bodies["json"], seconds(time.Now().AddDate(1, 0, 0))
		return probe{goodSecret, http.Header{"Webhook-Id": {testID}, "Webhook-Timestamp": {at}, "Webhook-Signature": {"v1," + standardMAC(goodSecret, testID, at, body)}}, body}
	}},
	{"Standard", "a second `Webhook-Timestamp` line", all, "another reader of the request may believe the other one", standard(func(h http.Header) { h.Add("Webhook-Timestamp", "1") })},
	{"Standard", "a second `Webhook-Id` line", goes, "as above: deduplication by a proxy would see another ID", standard(func(h http.Header) { h.Add("Webhook-Id", "other") })},
	{"Standard", "ID with a dot, `a.1`", all, "`a.1` at 2 with `x` and `a` at 1 with `2.x` sign the same bytes", standardWith(goodSecret, "a.1")},
	{"Standard", "ID with a blank in it", all, "logs, file names and header lists split at it", standardWith(goodSecret, "a 1")},
	{"Standard", "ID that is not ASCII, `é`", all, "has several encodings; readers that normalise text see another ID", standardWith(goodSecret, "é")},
	{"Standard", "ID of 300 bytes", all, "unbounded keys in the store that remembers deliveries", standardWith(goodSecret, strings.Repeat("x", 300))},
	{"Standard", "signature list of 0.95 MB, the good one last", all, "milliseconds of work for one forged request; here at most 8 KiB and 16 signatures", edit("Webhook-Signature", flood("v1,"+wrong, " "))},
	{"Standard", "17 signatures", all, "as above", edit("Webhook-Signature", func(good string) string { return strings.Repeat("v1,"+wrong+" ", 16) + good })},
	{"Standard", "a signature with a third part, `v1,…,x`", all, "a signature has one spelling", edit("Webhook-Signature", suffix(",x"))},
	{"Standard", "an empty secret, `whsec_`", goes, "anyone can compute the signature; an unset variable must not be a key", standardWith("whsec_", testID)},
	{"Standard", "a secret of 7 bytes", all, "can be guessed; the specification wants 24 to 64 bytes", standardWith("whsec_"+base64.StdEncoding.EncodeToString([]byte(sevenths)), testID)},
	{"Standard", "a secret without `whsec_`", all, "the form tells base64 from a literal secret; mixing them up is the classic failure", standardWith(strings.TrimPrefix(goodSecret, "whsec_"), testID)},
	{"Standard", "a secret with a line end", all, "read from a file by mistake; the other side may key with it", standardWith(goodSecret+"\n", testID)},
	{"Standard", otherByte, nodes, "the body is decoded to text first, so that different bodies have one signature", func() probe {
		now := seconds(time.Now())
		return probe{goodSecret, http.Header{
			"Webhook-Id": {testID}, "Webhook-Timestamp": {now},
			"Webhook-Signature": {"v1," + standardMAC(goodSecret, testID, now, []byte("{\"a\":\"\ufffd\"}"))},
		}, []byte("{\"a\":\"\xff\"}")}
	}},
	{"Stripe", "`t=+1764000000`", []string{stripeGo}, "two spellings of one time: what is signed is not the text that was sent", stripes(literal, 0, func(t, v1 string) string { return "t=+" + t + ",v1=" + v1 })},
	{"Stripe", "`t=0001764000000`", []string{stripeGo}, "as above", stripes(literal, 0, func(t, v1 string) string { return "t=000" + t + ",v1=" + v1 })},
	{"Stripe", "`t` a year ahead", []string{stripeGo}, "could be replayed for a year and five minutes", stripes(literal, 365*24*time.Hour, func(t, v1 string) string { return "t=" + t + ",v1=" + v1 })},
	{"Stripe", "two `t`", []string{stripeGo}, "the last one wins, unless the reader takes the first", stripes(literal, 0, func(t, v1 string) string { return "t=1,t=" + t + ",v1=" + v1 })},
	{"Stripe", "hex in capitals", []string{stripeGo}, "a signature has one spelling", stripes(literal, 0, func(t, v1 string) string { return "t=" + t + ",v1=" + strings.ToUpper(v1) })},
	{"Stripe", "0.95 MB of signatures, the good one last", []string{stripeGo}, "milliseconds of work for one forged request; here at most 8 KiB and 16 signatures", stripes(literal, 0, func(t, v1 string) string { return "t=" + t + "," + flood("v1="+strings.Repeat("0", 64), ",")("v1="+v1) })},
	{"Stripe", "an empty secret", []string{stripeGo}, "anyone can compute the signature", stripes("", 0, func(t, v1 string) string { return "t=" + t + ",v1=" + v1 })},
	{"Stripe", "a secret of 7 bytes", []string{stripeGo}, "can be guessed; at least 16 bytes", stripes(sevenths, 0, func(t, v1 string) string { return "t=" + t + ",v1=" + v1 })},
	{"GitHub", "hex in capitals", []string{githubGo}, "a signature has one spelling", githubs(literal, func(mac string) string { return "sha256=" + strings.ToUpper(mac) })},
	{"GitHub", "`sha1=` in `X-Hub-Signature`", []string{githubGo}, "the message would choose the algorithm", func() probe {
		return probe{literal, http.Header{"X-Hub-Signature": {"sha1=" + hexSHA1(literal, bodies["json"])}}, bodies["json"]}
	}},
	{"GitHub", "`sha1=` in `X-Hub-Signature-256`", []string{githubGo}, "as above", githubs(literal, func(string) string { return "sha1=" + hexSHA1(literal, bodies["json"]) })},
	{"GitHub", "hex without `sha256=`", []string{playGo}, "a signature has one spelling", githubs(literal, prefix(""))},
	{"GitHub", "a second `X-Hub-Signature-256` line", hubs, "another reader of the request may believe the other one", func() probe {
		p := githubs(literal, prefix("sha256="))()
		p.header.Add("X-Hub-Signature-256", "sha256=00")
		return p
	}},
	{"GitHub", "no signature, and an empty secret", hubs, "an unset variable would turn verification off", func() probe {
		return probe{"", http.Header{}, bodies["json"]}
	}},
	{"GitHub", "a secret of 7 bytes", hubs, "can be guessed; at least 16 bytes", githubs(sevenths, prefix("sha256="))},
}

// TestLenience checks that our schemes refuse the request of each row and that
// the Go peers do what the table says. TestNode does so for the npm packages.
func TestLenience(t *testing.T) {
	t.Parallel()
	for _, r := range rows {
		t.Run(r.scheme+"/"+r.input, func(t *testing.T) {
			t.Parallel()
			p := r.build()
			err := ours(r.scheme, p)
			require.Error(t, err, "we")
			// The form must be the reason for the refusal, and not a wrong signature.
			// A malformed entry of a list is skipped, which leaves no signature.
			skipped := r.scheme != "GitHub" && (r.input == "hex in capitals" || strings.HasPrefix(r.input, "a signature with a third part"))
			require.Equal(t, r.input == otherByte || skipped, errors.Is(err, signer.ErrNoMatch), err)
			for _, peer := range peersOf[r.scheme] {
				if verify, ok := goPeers[peer]; ok {
					err := verify(p)
					require.Equal(t, slices.Contains(r.accepts, peer), err == nil, "%s: %v", peer, err)
				}
			}
		})
	}
	// The builders make good requests where nothing is changed.
	require.NoError(t, ours("Standard", standard(func(http.Header) {})()))
	require.NoError(t, ours("Standard", standardWith(goodSecret, testID)()))
	require.NoError(t, ours("Stripe", stripes(literal, 0, func(t, v1 string) string { return "t=" + t + ",v1=" + v1 })()))
	require.NoError(t, ours("GitHub", githubs(literal, prefix("sha256="))()))
}

// TestSkippedEntries checks that a list entry that is not a signature neither
// helps nor invalidates a valid one, for our schemes and the peers.
func TestSkippedEntries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scheme string
		build  func() probe
	}{
		{"Standard", edit("Webhook-Signature", prefix("v1,!! "))},
		{"Standard", edit("Webhook-Signature", func(good string) string { return "v1,AAAA " + good + " v2,xyz" })},
		{"Standard", edit("Webhook-Signature", prefix("v1,"+wrong+"  "))},
		{"Stripe", stripes(literal, 0, func(t, v1 string) string { return "t=" + t + ",v1=zz,v1=" + v1 })},
	} {
		require.NoError(t, ours(c.scheme, c.build()))
		for _, peer := range peersOf[c.scheme] {
			if verify, ok := goPeers[peer]; ok {
				require.NoError(t, verify(c.build()), peer)
			}
		}
	}
}

const readme = "README.md"

// TestTable checks that README.md has the tested rows and the versions of the
// peers.
func TestTable(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	want.WriteString("| scheme | input | accepted by | also refused by | why we refuse it |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		var refuse []string
		for _, peer := range peersOf[r.scheme] {
			if !slices.Contains(r.accepts, peer) {
				refuse = append(refuse, peer)
			}
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s | %s |\n", r.scheme, r.input, list(r.accepts), list(refuse), r.why)
	}
	want.WriteString("\nVersions: ")
	for i, m := range []struct{ peer, module string }{
		{standardGo, "github.com/standard-webhooks/standard-webhooks/libraries"},
		{svixGo, "github.com/svix/svix-webhooks"},
		{stripeGo, "github.com/stripe/stripe-go/v85"},
		{githubGo, "github.com/google/go-github/v84"},
		{playGo, "github.com/go-playground/webhooks/v6"},
	} {
		fmt.Fprintf(&want, "%s%s %s", ", "[:2*min(i, 1)], m.peer, version(t, m.module))
	}
	for name, v := range npmVersions(t) {
		if peer := name + " (npm)"; slices.Contains(nodes, peer) {
			fmt.Fprintf(&want, ", %s %s", peer, v)
		}
	}
	want.WriteString(".\n")
	text, err := os.ReadFile(readme)
	require.NoError(t, err)
	const begin, end = "<!-- table -->\n", "<!-- end -->"
	head, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok)
	table, tail, ok := strings.Cut(rest, end)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile(readme, []byte(head+begin+want.String()+end+tail), 0o644))
		return
	}
	require.Equal(t, want.String(), table, "run go test -run TestTable -update .")
}

func list(peers []string) string {
	if len(peers) == 0 {
		return "–"
	}
	return strings.Join(peers, ", ")
}
