package hidden_test

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/hidden/hiddentest"
	"github.com/deployhook/deployhook/payload/drone"
	"github.com/deployhook/deployhook/payload/gitlab"
	"github.com/deployhook/deployhook/payload/heroku"
	"github.com/deployhook/deployhook/payload/netlify"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

const (
	sharedCanary = "CANARYCANARYCANARYCANARYCANARYCA" // also valid base64
	seedCanary   = "SEEDCANARYSEEDCANARYSEEDCANARYSEEDCANARYSEE="
)

// recordsExcuse explains that a record's header values are redacted when it is
// created, because records are meant to be shown.
const recordsExcuse = "a record, whose header values are redacted when it is created"

// replyExcuse explains that the type holds nothing that was received.
const replyExcuse = "its header is that of the receiver's own answer"

// kitExcuse explains that a kit for tests holds no secret of a running system.
const kitExcuse = "its secrets are those of a test, which made them for that test"

// The list contains a value of every exported type of the module that can hold
// a secret, and no value shows its secret. The test compares the list with the
// types, so it fails for a new type that can hold a secret and is not in the
// list.
func TestEveryTypeThatHoldsASecretHidesIt(t *testing.T) {
	t.Parallel()
	covered := append(keysAndSchemes(t), endpoints(t)...)
	receiving := append(sources(t), receivers(t)...)
	canaries := []string{sharedCanary, seedCanary}
	hiddentest.RequireHidden(t, canaries, append(covered, receiving...)...)
	excuses := map[string]string{
		"sender.Attempt": recordsExcuse, "sender.Receipt": recordsExcuse, "sender.DeliveryError": recordsExcuse,
		"receiver.Delivery": replyExcuse, "receiver.Result": replyExcuse,
		"receivertest.Scheme": kitExcuse, "receivertest.Delivery": kitExcuse,
		"sendertest.Endpoint": kitExcuse, "sendertest.Arrival": kitExcuse,
		"receivertest.Answer": replyExcuse, "receivertest.Answers": replyExcuse,
	}
	hiddentest.RequireCovered(t, "../..", excuses, append(covered, receiving...)...)
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		require.NoError(t, err)
		return v
	}
}

func literal(t *testing.T) signer.Secret {
	t.Helper()
	return must[signer.Secret](t)(signer.NewLiteralSecret(sharedCanary))
}

func keysAndSchemes(t *testing.T) []any {
	t.Helper()
	shared := must[signer.Secret](t)(signer.ParseSecret("whsec_" + sharedCanary))
	pair := must[signer.SigningKey](t)(signer.ParseSigningKey("whsk_" + seedCanary))
	standard := must[*signer.Standard](t)(signer.NewStandard(shared, signer.WithKey(pair)))
	timestamped := must[*signer.Timestamped](t)(signer.NewTimestamped(literal(t)))
	return []any{
		shared, literal(t), pair, standard, timestamped,
		must[*signer.Stripe](t)(signer.NewStripe(literal(t))),
		must[*signer.BodyOnly](t)(signer.NewGitHub(literal(t))),
		must[*signer.Basic](t)(signer.NewBasic("user", literal(t))),
		must[*signer.Bearer](t)(signer.NewBearer(literal(t))),
		must[*signer.Any](t)(signer.AnyOf(standard, timestamped)),
		must[*signer.APIKeys](t)(signer.NewGitLabToken(literal(t), "acme")),
	}
}

func endpoints(t *testing.T) []any {
	t.Helper()
	s := must[*sender.Sender](t)(sender.New())
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	ep := sender.Endpoint{
		URL:    sender.NewURL("https://hooks.example.com/" + sharedCanary),
		Header: sender.NewHeader(http.Header{"X-Api-Key": {sharedCanary}}),
		Signer: must[*signer.Bearer](t)(signer.NewBearer(literal(t))),
	}
	request := must[*sender.Request](t)(s.Preview(t.Context(), ep, sender.Message{ID: "whk_1", Body: []byte("{}")}))
	return []any{ep, ep.URL, ep.Header, s, request, certificate(t)}
}

// certificate returns a client certificate whose private key is the canary.
func certificate(t *testing.T) sender.ClientCertificate {
	t.Helper()
	seed := must[[]byte](t)(base64.StdEncoding.DecodeString(seedCanary))
	key := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	raw := must[[]byte](t)(x509.CreateCertificate(nil, template, template, key.Public(), key))
	return must[sender.ClientCertificate](t)(sender.NewClientCertificate(tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}))
}

func sources(t *testing.T) []any {
	t.Helper()
	return []any{
		must[*heroku.Verifier](t)(heroku.NewVerifier(literal(t))),
		must[*drone.Signature](t)(drone.NewVerifier(literal(t))),
		must[*netlify.Signature](t)(netlify.NewVerifier(literal(t))),
		gitlab.Secrets{Token: literal(t), SigningToken: must[signer.Secret](t)(signer.ParseSecret("whsec_" + sharedCanary))},
	}
}

func receivers(t *testing.T) []any {
	t.Helper()
	standard := must[*signer.Standard](t)(signer.NewStandard(must[signer.Secret](t)(signer.ParseSecret("whsec_" + sharedCanary))))
	store := must[*dedupe.Memory](t)(dedupe.NewMemory())
	ledger := must[*deployments.MemoryLedger](t)(deployments.NewMemoryLedger())
	return []any{
		must[*receiver.Receiver](t)(receiver.New(standard, receiver.WithDedupe(store, "platform"))),
		must[*deployments.Endpoint](t)(deployments.New(standard, ledger)),
		must[*deployments.IncidentEndpoint](t)(deployments.NewIncidents(standard, ledger)),
		must[*dora.Handler](t)(dora.NewHandler(standard, must[*dora.Calculator](t)(dora.New(ledger)))),
	}
}

// The other modules of the workspace hold no secret, or have their own tests.
func TestModulesOfTheWorkspaceHoldNoOtherSecrets(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	require.NoError(t, err)
	var dirs []string
	for line := range strings.Lines(string(out)) {
		path, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		name := strings.TrimPrefix(path, "github.com/deployhook/deployhook")
		if name == "" || name == "/sender/outbox" || name == "/sender/outbox/console" || name == "/signer/httpsig" || strings.Contains(name, "/internal/") || strings.Contains(name, "/examples/") {
			continue
		}
		dirs = append(dirs, dir)
	}
	if len(dirs) == 0 {
		t.Skip("not in the repository's workspace")
	}
	hiddentest.RequireNone(t, dirs...)
}
