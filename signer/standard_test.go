package signer_test

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/seeds"
	"github.com/deployhook/deployhook/signer"
)

func TestStandardVector(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at(t, specTime)
		scheme := standard(t, secret(t, specSecret))
		r := signed(t, scheme, specID, time.Now(), []byte(specBody))
		require.Equal(t, []string{specID}, r.Header["Webhook-Id"])
		require.Equal(t, []string{"1614265330"}, r.Header["Webhook-Timestamp"])
		require.Equal(t, []string{"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, r.Header["Webhook-Signature"])

		got, err := scheme.Verify(r, []byte(specBody))
		require.NoError(t, err)
		require.Equal(t, signer.Verified{ID: specID, Timestamp: time.Unix(specTime, 0), Key: "key-1"}, got)
	})
}

// The headers of a valid request are changed one at a time.
func TestStandardRefuses(t *testing.T) {
	t.Parallel()
	set := func(name string, values ...string) func(http.Header) {
		return func(h http.Header) { h[name] = values }
	}
	const good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	other := "v1," + strings.Repeat("A", 43) + "="
	for _, c := range []struct {
		name   string
		change func(http.Header)
		want   error
	}{
		{"no ID", set("Webhook-Id"), signer.ErrMissingHeader},
		{"no timestamp", set("Webhook-Timestamp"), signer.ErrMissingHeader},
		{"no signature", set("Webhook-Signature"), signer.ErrMissingHeader},
		{"ID twice", set("Webhook-Id", specID, specID), signer.ErrMalformed},
		{"timestamp twice", set("Webhook-Timestamp", "1614265330", "1614265330"), signer.ErrMalformed},
		{"signature twice", set("Webhook-Signature", good, good), signer.ErrMalformed},
		{"ID empty", set("Webhook-Id", ""), signer.ErrMalformed},
		{"ID with a dot", set("Webhook-Id", "a.1"), signer.ErrMalformed},
		{"ID with a blank", set("Webhook-Id", "a b"), signer.ErrMalformed},
		{"ID padded", set("Webhook-Id", specID+" "), signer.ErrMalformed},
		{"ID not ASCII", set("Webhook-Id", "é"), signer.ErrMalformed},
		{"ID not UTF-8", set("Webhook-Id", "\xff"), signer.ErrMalformed},
		{"ID with DEL", set("Webhook-Id", "a\x7f"), signer.ErrMalformed},
		{"ID of 256 bytes", set("Webhook-Id", strings.Repeat("a", 256)), signer.ErrMalformed},
		{"another ID", set("Webhook-Id", "msg_other"), signer.ErrNoMatch},
		{"another time", set("Webhook-Timestamp", "1614265331"), signer.ErrNoMatch},
		{"another signature", set("Webhook-Signature", other), signer.ErrNoMatch},
		{"empty signature", set("Webhook-Signature", ""), signer.ErrNoMatch},
		{"version alone", set("Webhook-Signature", "v1,"), signer.ErrNoMatch},
		{"no version", set("Webhook-Signature", good[3:]), signer.ErrNoMatch},
		{"empty version", set("Webhook-Signature", good[2:]), signer.ErrNoMatch},
		{"other version only", set("Webhook-Signature", "v2"+good[2:]), signer.ErrNoMatch},
		{"upper-case version", set("Webhook-Signature", "V1"+good[2:]), signer.ErrNoMatch},
		{"MAC as v1a", set("Webhook-Signature", "v1a"+good[2:]), signer.ErrNoMatch},
		{"v1a without a key for it", set("Webhook-Signature", "v1a,"+strings.Repeat("A", 86)+"=="), signer.ErrNoMatch},
		{"unpadded", set("Webhook-Signature", strings.TrimSuffix(good, "=")), signer.ErrNoMatch},
		{"URL-safe", set("Webhook-Signature", strings.NewReplacer("+", "-", "/", "_").Replace(good)), signer.ErrNoMatch},
		{"trailing bits", set("Webhook-Signature", strings.Replace(good, "1OE=", "1OF=", 1)), signer.ErrNoMatch},
		{"line end inside", set("Webhook-Signature", good[:20]+"\n"+good[20:]), signer.ErrNoMatch},
		{"four line ends inside", set("Webhook-Signature", good[:43]+"\n\n\n\n"), signer.ErrNoMatch},
		{"tab between", set("Webhook-Signature", good+"\t"+other), signer.ErrNoMatch},
		{"17 signatures", set("Webhook-Signature", strings.Repeat(other+" ", 16)+good), signer.ErrMalformed},
		{"17 entries, unknown versions among them", set("Webhook-Signature", strings.Repeat("v9,x ", 16)+good), signer.ErrMalformed},
		{"over 8 KiB", set("Webhook-Signature", "v9,"+strings.Repeat("x", 8<<10)+" "+good), signer.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				at(t, specTime)
				scheme := standard(t, secret(t, specSecret))
				r := signed(t, scheme, specID, time.Now(), []byte(specBody))
				c.change(r.Header)
				got, err := scheme.Verify(r, []byte(specBody))
				require.ErrorIs(t, err, c.want)
				require.ErrorIs(t, err, signer.ErrUnverified)
				require.Zero(t, got)
			})
		})
	}
}

func TestStandardAcceptsLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at(t, specTime)
		scheme := standard(t, secret(t, specSecret))
		const good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
		other := "v1," + strings.Repeat("A", 43) + "="
		for _, list := range []string{
			good + " " + other,
			other + " " + good,
			"v1a," + strings.Repeat("A", 86) + "== " + good,
			"v2,%%% " + good,
			"v1,AAAA " + good + " v2,xyz",
			good + " v1,AAAA",
			" " + good + " ",
			good + "  " + other,
			strings.Repeat(other+" ", 15) + good,
			good + strings.Repeat(" "+other, 15),
		} {
			r := signed(t, scheme, specID, time.Now(), []byte(specBody))
			r.Header["Webhook-Signature"] = []string{list}
			_, err := scheme.Verify(r, []byte(specBody))
			require.NoError(t, err, list)
		}
	})
}

// Only the signed bytes verify. A change of white space, order, escapes or
// length is refused.
func TestStandardVerifiesExactBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := standard(t, secret(t, specSecret))
		body := []byte(`{"a":1,"b":"é"}`)
		r := signed(t, scheme, "whk_1", time.Now(), body)
		_, err := scheme.Verify(r, body)
		require.NoError(t, err)
		for _, other := range []string{
			`{"a": 1,"b":"é"}`, `{"b":"é","a":1}`, `{"a":1,"b":"\u00e9"}`, `{"a":1,"b":"é"}` + "\n", `{"a":1,"b":"é"`, ``, `{"a":1.0,"b":"é"}`,
		} {
			_, err := scheme.Verify(r, []byte(other))
			require.ErrorIs(t, err, signer.ErrNoMatch, other)
		}
	})
}

// (id a.1, time 2, body x) and (id a, time 1, body 2.x) give the same signed
// bytes.
func TestIDsWithADotAreNeitherSignedNorVerified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := standard(t, secret(t, specSecret))
		now := time.Now()
		stamp := strconv.FormatInt(now.Unix(), 10)
		r := signed(t, scheme, "a", now, []byte("2.x"))
		r.Header.Set("Webhook-Id", "a."+stamp)
		r.Header.Set("Webhook-Timestamp", "2")
		_, err := scheme.Verify(r, []byte("x"))
		require.ErrorIs(t, err, signer.ErrMalformed)
		require.ErrorIs(t, scheme.Sign(t.Context(), request(nil), "a.1", now, nil), signer.ErrInvalidMessage)
	})
}

func TestTimestampForms(t *testing.T) {
	t.Parallel()
	schemes := map[string]func(t *testing.T) interface {
		signer.Signer
		signer.Verifier
	}{
		"Webhook-Timestamp": func(t *testing.T) interface {
			signer.Signer
			signer.Verifier
		} {
			return standard(t, secret(t, specSecret))
		},
		"X-Webhook-Timestamp": func(t *testing.T) interface {
			signer.Signer
			signer.Verifier
		} {
			return timestamped(t, literalSecret(t, literal))
		},
	}
	for header, make := range schemes {
		for _, text := range []string{
			"", "0", "-1", "+1614265330", "01614265330", "1614265330.0", " 1614265330", "1614265330 ", "1614265330\t",
			"1614265330000", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744075323816946", "1e9", "0x60376c32", "NaN",
			"１６１４２６５３３０", "161426533O", "100000000000", "1,614,265,330",
		} {
			t.Run(header+" "+text, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					at(t, specTime)
					scheme := make(t)
					r := signed(t, scheme, specID, time.Now(), []byte(specBody))
					r.Header[header] = []string{text}
					_, err := scheme.Verify(r, []byte(specBody))
					require.ErrorIs(t, err, signer.ErrMalformed)
				})
			})
		}
	}
}

func TestMillisecondsAreNamed(t *testing.T) {
	t.Parallel()
	scheme := standard(t, secret(t, specSecret))
	r := signed(t, scheme, specID, time.Now(), nil)
	r.Header.Set("Webhook-Timestamp", "1614265330000")
	_, err := scheme.Verify(r, nil)
	require.ErrorContains(t, err, "milliseconds")
}

func TestToleranceIsInclusiveOnBothSides(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		offset    time.Duration // of the signed time from now
		tolerance time.Duration
		want      error
	}{
		{"now", 0, 0, nil},
		{"oldest", -5 * time.Minute, 0, nil},
		{"a second older", -5*time.Minute - time.Second, 0, signer.ErrTooOld},
		{"newest", 5 * time.Minute, 0, nil},
		{"a second newer", 5*time.Minute + time.Second, 0, signer.ErrTooNew},
		{"a year ahead", 365 * 24 * time.Hour, 0, signer.ErrTooNew},
		{"a year ago", -365 * 24 * time.Hour, 0, signer.ErrTooOld},
		{"narrow", -2 * time.Second, time.Second, signer.ErrTooOld},
		{"narrow, in it", -time.Second, time.Second, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				at(t, specTime)
				var opts []signer.Option
				if c.tolerance > 0 {
					opts = append(opts, signer.WithTolerance(c.tolerance))
				}
				for _, scheme := range []interface {
					signer.Signer
					signer.Verifier
				}{standard(t, secret(t, specSecret), opts...), timestamped(t, literalSecret(t, literal), opts...)} {
					r := signed(t, scheme, specID, time.Now().Add(c.offset), []byte(specBody))
					_, err := scheme.Verify(r, []byte(specBody))
					require.ErrorIs(t, err, c.want)
				}
			})
		})
	}
}

func TestARetiredKeyFailsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cutover := time.Now().Add(time.Hour)
		older, newer := signer.GenerateSecret(), signer.GenerateSecret()
		peer := standard(t, older)
		scheme := standard(t, newer, signer.WithKey(older.NotAfter(cutover)))

		time.Sleep(time.Hour)
		r := signed(t, peer, "whk_1", time.Now(), nil)
		_, err := scheme.Verify(r, nil)
		require.NoError(t, err, "the end itself is included")
		require.Len(t, strings.Fields(signed(t, scheme, "whk_1", time.Now(), nil).Header.Get("Webhook-Signature")), 2)

		time.Sleep(time.Nanosecond)
		_, err = scheme.Verify(r, nil)
		require.ErrorIs(t, err, signer.ErrNoMatch)
		require.Len(t, strings.Fields(signed(t, scheme, "whk_1", time.Now(), nil).Header.Get("Webhook-Signature")), 1)

		olderText := signer.GenerateLiteralSecret()
		hex := timestamped(t, signer.GenerateLiteralSecret(), signer.WithKey(olderText.NotAfter(time.Now())))
		r = signed(t, timestamped(t, olderText), "whk_1", time.Now(), nil)
		_, err = hex.Verify(r, nil)
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		_, err = hex.Verify(r, nil)
		require.ErrorIs(t, err, signer.ErrNoMatch)
	})
}

// If all keys of a scheme have ended, signing fails. It never leaves a request
// unsigned.
func TestNoActiveKeyIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Minute)
		std := standard(t, signer.GenerateSecret().NotAfter(end))
		hex := timestamped(t, signer.GenerateLiteralSecret().NotAfter(end))
		time.Sleep(2 * time.Minute)
		for _, s := range []signer.Signer{std, hex} {
			r := request(nil)
			before := r.Header.Clone()
			require.ErrorIs(t, s.Sign(r.Context(), r, "whk_1", time.Now(), nil), signer.ErrNoActiveKey)
			require.Equal(t, before, r.Header)
		}
		_, err := signer.NewStandard(signer.GenerateSecret().NotAfter(end))
		require.ErrorIs(t, err, signer.ErrConfig)
		require.ErrorContains(t, err, "NotAfter")
	})
}

func TestConfigurationErrors(t *testing.T) {
	t.Parallel()
	std, lit := signer.GenerateSecret(), signer.GenerateLiteralSecret()
	pair := signer.GenerateSigningKey()
	many := make([]signer.Option, 8)
	for i := range many {
		many[i] = signer.WithKey(signer.GenerateSecret())
	}
	manyPairs := make([]signer.Option, 2)
	for i := range manyPairs {
		manyPairs[i] = signer.WithKey(signer.GenerateSigningKey())
	}
	newStandard := func(key signer.Key, opts ...signer.Option) error {
		_, err := signer.NewStandard(key, opts...)
		return err
	}
	newTimestamped := func(key signer.Key, opts ...signer.Option) error {
		_, err := signer.NewTimestamped(key, opts...)
		return err
	}
	for _, c := range []struct {
		name string
		err  error
		says string
	}{
		{"nil key", newStandard(nil), "nil"},
		{"no principal", newStandard(std, signer.WithPrincipal("")), "WithPrincipal: the name is empty"},
		{"zero secret", newStandard(signer.Secret{}), "zero value"},
		{"zero secret, timestamped", newTimestamped(signer.Secret{}), "zero value"},
		{"zero signing key", newStandard(signer.SigningKey{}), "zero value"},
		{"zero verifying key", newStandard(signer.VerifyingKey{}), "zero value"},
		{"Ed25519 for Timestamped", newTimestamped(signer.GenerateSigningKey()), "Ed25519"},
		{"public and private half", newStandard(pair, signer.WithKey(pair.VerifyingKey().Named("public"))), "repeats"},
		{"literal for Standard", newStandard(lit), "ParseSecret"},
		{"base64 for Timestamped", newTimestamped(std), "NewLiteralSecret"},
		{"nil further key", newStandard(std, signer.WithKey(nil)), "key-2"},
		{"repeated key", newStandard(std, signer.WithKey(std.Named("again"))), "repeats"},
		{"repeated name", newStandard(std.Named("a"), signer.WithKey(signer.GenerateSecret().Named("a"))), "same name"},
		{"9 keys", newStandard(std, many...), "at most 8"},
		{"3 Ed25519 keys", newStandard(pair, manyPairs...), "Ed25519 keys"},
		{"3 secrets and an Ed25519 key", newStandard(pair, many[:3]...), "at most 3"},
		{"2 secrets and 2 Ed25519 keys", newStandard(pair, manyPairs[0], many[0], many[1]), "at most 3"},
		{"no tolerance", newStandard(std, signer.WithTolerance(0)), "WithTolerance"},
		{"negative tolerance", newTimestamped(lit, signer.WithTolerance(-time.Minute)), "WithTolerance"},
		{"endless tolerance", newStandard(std, signer.WithTolerance(25*time.Hour)), "WithTolerance"},
		{"foreign option", newStandard(std, signer.WithHeader("X-Temps")), "WithHeader"},
		{"nil option", newStandard(std, nil), "nil Option"},
		{"empty prefix", newTimestamped(lit, signer.WithHeaderPrefix("")), "WithHeaderPrefix"},
		{"empty prefix of Standard", newStandard(std, signer.WithHeaderPrefix("")), "WithHeaderPrefix"},
		{"prefix with a dash at the end", newTimestamped(lit, signer.WithHeaderPrefix("X-Temps-")), "WithHeaderPrefix"},
		{"prefix with a colon", newTimestamped(lit, signer.WithHeaderPrefix("X:Temps")), "WithHeaderPrefix"},
	} {
		require.ErrorIs(t, c.err, signer.ErrConfig, c.name)
		require.ErrorContains(t, c.err, c.says, c.name)
	}
}

func TestSignRefusesWhatNoVerifierAccepts(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, s := range []signer.Signer{standard(t, signer.GenerateSecret()), timestamped(t, signer.GenerateLiteralSecret())} {
		for _, id := range []string{"", "a.b", "a b", "é", "a\r\nX-Evil: 1", strings.Repeat("a", 256)} {
			r := request(nil)
			before := r.Header.Clone()
			err := s.Sign(r.Context(), r, id, now, nil)
			require.ErrorIs(t, err, signer.ErrInvalidMessage)
			require.Equal(t, before, r.Header)
		}
		for _, when := range []time.Time{{}, time.Unix(0, 0), time.Unix(100_000_000_000, 0)} {
			require.ErrorIs(t, s.Sign(t.Context(), request(nil), "whk_1", when, nil), signer.ErrInvalidMessage)
		}
	}
}

func TestSignReplacesHeadersAndWorksWithoutAny(t *testing.T) {
	t.Parallel()
	scheme := standard(t, signer.GenerateSecret())
	r := &http.Request{}
	require.NoError(t, scheme.Sign(r.Context(), r, "whk_1", time.Now(), nil))
	require.NoError(t, scheme.Sign(r.Context(), r, "whk_2", time.Now(), nil))
	require.Equal(t, []string{"whk_2"}, r.Header["Webhook-Id"])
	require.Len(t, r.Header["Webhook-Signature"], 1)
	// Appending to one header's values must not overwrite those of the next header.
	r.Header["Webhook-Id"] = append(r.Header["Webhook-Id"], "x")
	require.NotEqual(t, "x", r.Header["Webhook-Timestamp"][0])
}

func TestPrincipal(t *testing.T) {
	t.Parallel()
	scheme := standard(t, signer.GenerateSecret(), signer.WithPrincipal("acme"))
	got, err := scheme.Verify(signed(t, scheme, "whk_1", time.Now(), nil), nil)
	require.NoError(t, err)
	require.Equal(t, "acme", got.Principal)
}

func TestVerifyDoesNotAllocateAndSignAllocatesTwice(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 4096)
	for _, s := range everyScheme(t) {
		now := time.Now()
		r := signed(t, s.signer, "whk_1", now, body)
		_, err := s.verifier.Verify(r, body)
		require.NoError(t, err, s.name)
		if raceEnabled {
			continue
		}
		allocs := 0.0
		if s.name == "standard-ed25519-two-keys" {
			allocs = 1 // the error inside crypto/ed25519 for a signature that is another key's
		}
		require.Equal(t, allocs, testing.AllocsPerRun(200, func() { _, _ = s.verifier.Verify(r, body) }), s.name)
		if _, peer := s.signer.(handSigner); peer {
			continue // verified only
		}
		most := 2.0
		// A crypto.Signer returns each signature in memory of its own.
		most += float64(strings.Count(r.Header.Get("Webhook-Signature"), "v1a,"))
		require.LessOrEqual(t, testing.AllocsPerRun(200, func() { _ = s.signer.Sign(r.Context(), r, "whk_1", now, body) }), most, s.name)
	}
}

// With any headers, verification does not panic, and it accepts only what was
// signed.
func FuzzStandardHeaders(f *testing.F) {
	seeds.Add(f, 15)
	scheme := standard(f, secret(f, specSecret))
	other := standard(f, secret(f, "whsec_"+strings.Repeat("A", 32)))
	f.Fuzz(func(t *testing.T, id, timestamp, list string, body []byte) {
		r := request(body)
		r.Header["Webhook-Id"] = []string{id}
		r.Header["Webhook-Timestamp"] = []string{timestamp}
		r.Header["Webhook-Signature"] = []string{list}
		_, err := scheme.Verify(r, body)
		require.ErrorIs(t, err, signer.ErrUnverified)

		// The test uses the same texts with a correct signature. They are accepted
		// exactly if the ID and time are signable.
		now := time.Now()
		if err := other.Sign(r.Context(), r, id, now, body); err != nil {
			require.ErrorIs(t, err, signer.ErrInvalidMessage)
			return
		}
		got, err := other.Verify(r, body)
		require.NoError(t, err)
		require.Equal(t, id, got.ID)
		require.Equal(t, now.Unix(), got.Timestamp.Unix())
		_, err = scheme.Verify(r, body)
		require.ErrorIs(t, err, signer.ErrNoMatch)
	})
}
