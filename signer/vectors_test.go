package signer_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/signer"
)

// vectorFile is testdata/vectors.json, whose "about" says what the fields mean.
type vectorFile struct {
	About      []string
	Primitives []json.RawMessage // see vectors_internal_test.go
	Cases      []vector
}

type vector struct {
	Name    string
	Scheme  string
	Options struct {
		Tolerance       int64
		Header          string
		HeaderPrefix    string `json:"header_prefix"`
		SignaturePrefix string `json:"signature_prefix"`
		Encoding, Hash  string
		TimeField       string `json:"time_field"`
		SignatureField  string `json:"signature_field"`
		Principal       string
	}
	Keys []struct {
		Text      string
		Hash      string
		Principal string
		NotAfter  int64 `json:"not_after"`
	}
	Now     int64
	Headers [][2]string
	Body    struct {
		Base64 []byte
		Repeat int
		Text   string
	}
	Valid  bool
	Reason string
	Expect struct {
		ID        string
		Timestamp int64
		Key       int
		Principal string
	}
	Sign *struct {
		ID string
		At int64
	}
}

// vectorCount is how many cases the file has.
const vectorCount = 841

func readVectors(t testing.TB) vectorFile {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	require.NoError(t, err)
	var file vectorFile
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&file))
	return file
}

var vectorReasons = map[string]error{
	"missing_header": signer.ErrMissingHeader, "malformed": signer.ErrMalformed, "no_match": signer.ErrNoMatch,
	"too_old": signer.ErrTooOld, "too_new": signer.ErrTooNew, "invalid_api_key": signer.ErrInvalidAPIKey,
}

// Constructors report invalid keys before there is a request.
var vectorKeyReasons = map[string]error{"invalid_secret": signer.ErrInvalidSecret, "invalid_config": signer.ErrConfig}

func TestVectors(t *testing.T) {
	t.Parallel()
	cases := readVectors(t).Cases
	valid, resigned := 0, 0
	names := make(map[string]bool, len(cases))
	for _, c := range cases {
		require.False(t, names[c.Name], c.Name)
		names[c.Name] = true
		if c.Valid {
			valid++
		}
		if c.Sign != nil {
			resigned++
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { runVector(t, c) })
		})
	}
	// A file that lost cases would pass in silence.
	require.Equal(t, vectorCount, len(cases)) // Len would print them all
	require.Equal(t, 336, valid)
	require.Equal(t, 93, resigned)
}

func runVector(t *testing.T, c vector) {
	at(t, c.Now)
	verifier, err := c.scheme()
	if want, ok := vectorKeyReasons[c.Reason]; ok {
		require.ErrorIs(t, err, want)
		return
	}
	require.NoError(t, err)
	body := bytes.Repeat(c.Body.Base64, max(1, c.Body.Repeat))
	r := request(body)
	for _, h := range c.Headers {
		r.Header.Add(h[0], h[1])
	}
	got, err := verifier.Verify(r, body)
	if !c.Valid {
		require.Contains(t, vectorReasons, c.Reason)
		require.ErrorIs(t, err, vectorReasons[c.Reason])
		require.ErrorIs(t, err, signer.ErrUnverified)
		require.Zero(t, got)
		return
	}
	require.NoError(t, err)
	require.Empty(t, c.Reason)
	want := signer.Verified{ID: c.Expect.ID, Principal: c.Expect.Principal, Key: fmt.Sprintf("key-%d", c.Expect.Key+1)}
	if c.Expect.Timestamp != 0 {
		want.Timestamp = time.Unix(c.Expect.Timestamp, 0)
	}
	require.Equal(t, want, got)
	if c.Sign != nil {
		signVector(t, c, verifier, body)
	}
}

// signVector signs a valid case again. Our headers must be exactly those in the
// file.
func signVector(t *testing.T, c vector, verifier signer.Verifier, body []byte) {
	s, ok := verifier.(signer.Signer)
	if !ok { // the sending side of an API key is a type of its own
		bearer, err := signer.NewBearer(literalSecret(t, c.Keys[0].Text), c.headerOption()...)
		require.NoError(t, err)
		s = bearer
	}
	r := &http.Request{}
	require.NoError(t, s.Sign(r.Context(), r, c.Sign.ID, time.Unix(c.Sign.At, 0), body))
	want := make(http.Header)
	for _, h := range c.Headers {
		want.Add(h[0], h[1])
	}
	require.Equal(t, want, r.Header)
}

// scheme makes the verifier of a case. Its errors come from parsing keys and
// from constructors.
func (c vector) scheme() (signer.Verifier, error) {
	if c.Scheme == "APIKeys" {
		return c.apiKeys()
	}
	keys, err := c.readKeys()
	if err != nil {
		return nil, err
	}
	if c.Scheme == "GitLabToken" {
		return signer.NewGitLabToken(keys[0].(signer.Secret), c.Keys[0].Principal)
	}
	opts := c.headerOption()
	for _, key := range keys[1:] {
		opts = append(opts, signer.WithKey(key))
	}
	if c.Options.Tolerance != 0 {
		opts = append(opts, signer.WithTolerance(time.Duration(c.Options.Tolerance)*time.Second))
	}
	if c.Options.HeaderPrefix != "" {
		opts = append(opts, signer.WithHeaderPrefix(c.Options.HeaderPrefix))
	}
	opts = append(opts, c.formOptions()...)
	if c.Options.Principal != "" {
		opts = append(opts, signer.WithPrincipal(c.Options.Principal))
	}
	return newVerifier(c.Scheme, keys[0], opts...)
}

// newVerifier makes a scheme by its constructor's name.
func newVerifier(scheme string, key signer.Key, opts ...signer.Option) (signer.Verifier, error) {
	switch scheme {
	case "Standard":
		return signer.NewStandard(key, opts...)
	case "Timestamped":
		return signer.NewTimestamped(key, opts...)
	case "Stripe":
		return signer.NewStripe(key, opts...)
	case "GitHub":
		return signer.NewGitHub(key, opts...)
	case "BodyOnly":
		return signer.NewBodyOnly(key, opts...)
	}
	return nil, fmt.Errorf("unknown scheme %q", scheme)
}

// formOptions say how the signature is written.
func (c vector) formOptions() (opts []signer.Option) {
	if c.Options.SignaturePrefix != "" {
		opts = append(opts, signer.WithSignaturePrefix(c.Options.SignaturePrefix))
	}
	if c.Options.Encoding == "base64" {
		opts = append(opts, signer.WithBase64())
	}
	if c.Options.Hash == "sha1" {
		opts = append(opts, signer.InsecureSHA1())
	}
	if c.Options.TimeField != "" {
		opts = append(opts, signer.WithFieldNames(c.Options.TimeField, c.Options.SignatureField))
	}
	return opts
}

func (c vector) headerOption() []signer.Option {
	if c.Options.Header == "" {
		return nil
	}
	return []signer.Option{signer.WithHeader(c.Options.Header)}
}

func (c vector) readKeys() ([]signer.Key, error) {
	keys := make([]signer.Key, len(c.Keys))
	for i, k := range c.Keys {
		var end time.Time
		if k.NotAfter != 0 {
			end = time.Unix(k.NotAfter, 0)
		}
		key, err := readKey(c.Scheme, k.Text, end)
		if err != nil {
			return nil, err
		}
		keys[i] = key
	}
	return keys, nil
}

func readKey(scheme, text string, end time.Time) (signer.Key, error) {
	var prefix string
	if len(text) >= 5 {
		prefix = text[:5]
	}
	switch {
	case scheme != "Standard":
		key, err := signer.NewLiteralSecret(text)
		return key.NotAfter(end), err
	case prefix == "whsk_":
		key, err := signer.ParseSigningKey(text)
		return key.NotAfter(end), err
	case prefix == "whpk_":
		key, err := signer.ParseVerifyingKey(text)
		return key.NotAfter(end), err
	}
	key, err := signer.ParseSecret(text)
	return key.NotAfter(end), err
}

func (c vector) apiKeys() (signer.Verifier, error) {
	keys := make([]signer.APIKey, len(c.Keys))
	for i, k := range c.Keys {
		hash, err := signer.HashAPIKey(k.Text)
		if err != nil {
			return nil, err
		}
		if stored, err := signer.ParseAPIKeyHash(k.Hash); err != nil || stored != hash {
			return nil, fmt.Errorf("the file's hash of key %d is %s, ours %s: %w", i+1, k.Hash, hash, err)
		}
		keys[i] = signer.APIKey{Principal: k.Principal, Hash: hash}
		if k.NotAfter != 0 {
			keys[i].NotAfter = time.Unix(k.NotAfter, 0)
		}
	}
	return signer.NewAPIKeys(keys, c.headerOption()...)
}

// The generator gives the committed file, byte for byte.
func TestVectorsAreWhatTheGeneratorWrites(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), servicetest.Program(t, "node"), filepath.Join("testdata", "make_vectors.mjs"))
	got, err := cmd.Output()
	require.NoError(t, err)
	want, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	require.NoError(t, err)
	// Equal would print both files.
	require.True(t, bytes.Equal(want, got), "run: node make_vectors.mjs > vectors.json")
}

// A second implementation, which shares no code with the generator or with this
// package, agrees with every case.
func TestVectorsAgreeWithPython(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), servicetest.Program(t, "python3"), filepath.Join("testdata", "check_vectors.py"))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), fmt.Sprintf("%d cases and 11 primitives, 0 wrong", vectorCount))
}

// The file has the vectors that are part of the contract, even if the generator
// changes.
func TestVectorsOfTheContract(t *testing.T) {
	t.Parallel()
	cases := make(map[string]vector)
	for _, c := range readVectors(t).Cases {
		cases[c.Name] = c
	}
	for name, want := range map[string]struct{ key, body, header, value string }{
		"Standard: the specification's own example": {specSecret, specBody, "Webhook-Signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		"GitHub: body: hello": {
			"It's a Secret to Everybody", "Hello, World!",
			"X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
		},
	} {
		c := cases[name]
		require.True(t, c.Valid, name)
		require.Equal(t, want.key, c.Keys[0].Text)
		require.Equal(t, base64.StdEncoding.EncodeToString([]byte(want.body)), base64.StdEncoding.EncodeToString(c.Body.Base64))
		require.Contains(t, c.Headers, [2]string{want.header, want.value})
	}
}
