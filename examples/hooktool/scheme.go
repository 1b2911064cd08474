package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload/bitbucket"
	"github.com/deployhook/deployhook/payload/circleci"
	"github.com/deployhook/deployhook/payload/drone"
	"github.com/deployhook/deployhook/payload/flux"
	"github.com/deployhook/deployhook/payload/github"
	"github.com/deployhook/deployhook/payload/gitlab"
	"github.com/deployhook/deployhook/payload/heroku"
	"github.com/deployhook/deployhook/payload/netlify"
	"github.com/deployhook/deployhook/payload/render"
	"github.com/deployhook/deployhook/payload/temps"
	"github.com/deployhook/deployhook/payload/vercel"
	"github.com/deployhook/deployhook/signer"
	"github.com/deployhook/deployhook/signer/httpsig"
)

// maxTolerance is the longest tolerance that the library takes.
const maxTolerance = 24 * time.Hour

// scheme is a way to sign or to authenticate requests.
type scheme struct {
	name string
	says string // what the signature covers, for the help
	// standard schemes take whsec_, whsk_ and whpk_ secrets. The others take any
	// text.
	standard bool
	// header is the header with the signature. Requests that have it are of this
	// scheme, unless an earlier one in the list claims them.
	header   string
	verifier func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error)
	// signer is nil if the scheme can't sign here.
	signer func(o *schemeFlags, keys []signer.Key) (signer.Signer, error)
}

// schemeFlags are the flags about the scheme, which several commands share.
type schemeFlags struct {
	name, prefix, header, mark string
	base64                     bool
	keyID, user, external      string
	tolerance                  time.Duration
	previousUntil              string
	// at is the time at which a request is judged. The zero time is now.
	at time.Time
}

func (o *schemeFlags) register(f *flag.FlagSet, fallback string) {
	f.StringVar(&o.name, "scheme", "", "`scheme` of the signature: "+schemeNames()+"; default: "+fallback)
	f.StringVar(&o.prefix, "header-prefix", "", "beginning of the `header` names of -scheme timestamped and standard; default: X-Webhook and Webhook")
	f.StringVar(&o.header, "header", "", "`header` with the signature or key, for -scheme body-only, stripe, github and bearer")
	f.StringVar(&o.mark, "signature-prefix", "", "`text` before the signature, such as sha256=, for -scheme timestamped and body-only")
	f.BoolVar(&o.base64, "base64", false, "with -scheme body-only the signature is base64, not hex")
	f.StringVar(&o.keyID, "key-id", "", "`ID` of the key, for -scheme httpsig")
	f.StringVar(&o.user, "user", "", "user `name`, for -scheme basic")
}

// registerVerifying adds the flags that only verification has.
func (o *schemeFlags) registerVerifying(f *flag.FlagSet) {
	f.DurationVar(&o.tolerance, "tolerance", signer.DefaultTolerance, "how far a signed `time` may lie from now")
	f.StringVar(&o.external, "external-url", "", "public `URL` of the endpoint behind a proxy or a tunnel, for -scheme httpsig")
	f.StringVar(&o.previousUntil, "previous-until", "", "`time` (RFC 3339) after which "+previousVariable+" no longer counts; default: no end")
}

// printSchemes is the help about -scheme.
func printSchemes(out io.Writer) {
	fmt.Fprint(out, "The schemes of -scheme, and what each signs:\n\n")
	var rows [][]string
	for _, s := range schemes() {
		secret := "any text"
		if s.standard {
			secret = "whsec_, whsk_, whpk_"
		}
		rows = append(rows, []string{"  " + s.name, cmp.Or(s.header, "-"), secret, s.says})
	}
	printTable(out, append([][]string{{"  SCHEME", "HEADER", "SECRET", "SIGNS"}}, rows...))
	fmt.Fprint(out, `
Without -scheme, listen and verify choose by the headers. trigger and sign take
standard. Argo CD and Dokploy send a token, so take bearer for them.
`)
}

func schemeNames() string {
	var names []string
	for _, s := range schemes() {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

// schemeNamed finds a scheme by -scheme.
func schemeNamed(name string) (scheme, error) {
	for _, s := range schemes() {
		if s.name == name {
			return s, nil
		}
	}
	return scheme{}, usagef("-scheme %q: want %s", cut(name, 40), schemeNames())
}

// schemes returns all schemes. Requests are matched from the first to the last.
func schemes() []scheme {
	return slices.Concat(signedSchemes(), senderSchemes(), bodyOnlySchemes())
}

// signedSchemes sign a time, or more.
func signedSchemes() []scheme {
	return []scheme{
		{
			name: "standard", says: "Standard Webhooks: ID, time and body", standard: true, header: signer.HeaderSignature,
			verifier: func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error) {
				return o.standard(keys, true, o.prefix)
			},
			signer: func(o *schemeFlags, keys []signer.Key) (signer.Signer, error) {
				return o.standard(keys, false, o.prefix)
			},
		},
		{
			name: "svix", says: "the same under Svix's names", standard: true, header: "Svix-Signature",
			verifier: func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error) { return o.standard(keys, true, "Svix") },
			signer:   func(o *schemeFlags, keys []signer.Key) (signer.Signer, error) { return o.standard(keys, false, "Svix") },
		},
		{
			name: "timestamped", says: "hex HMAC of timestamp.body under X-Webhook-…, or under -header-prefix", header: "X-Webhook-Signature",
			verifier: func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error) { return o.timestamped(keys, true) },
			signer:   func(o *schemeFlags, keys []signer.Key) (signer.Signer, error) { return o.timestamped(keys, false) },
		},
		{
			name: "stripe", says: "time and body in one header, as Stripe does", header: "Stripe-Signature",
			verifier: func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error) { return o.stripe(keys, true) },
			signer:   func(o *schemeFlags, keys []signer.Key) (signer.Signer, error) { return o.stripe(keys, false) },
		},
		{
			name: "buildkite", says: "the same under Buildkite's names", header: "X-Buildkite-Signature",
			verifier: func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error) {
				return o.stripe(keys, true, buildkite()...)
			},
			signer: func(o *schemeFlags, keys []signer.Key) (signer.Signer, error) {
				return o.stripe(keys, false, buildkite()...)
			},
		},
		{
			name: "httpsig", says: "RFC 9421: method, URL, content type, body, ID and time", header: "Signature-Input", standard: true,
			verifier: func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error) { return o.httpsig(keys, true) },
			signer:   func(o *schemeFlags, keys []signer.Key) (signer.Signer, error) { return o.httpsig(keys, false) },
		},
	}
}

// senderSchemes sign a time, each in the way of one sender.
func senderSchemes() []scheme {
	return []scheme{
		{
			name: "render", says: "Render: Standard Webhooks", standard: true,
			verifier: func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error) {
				secret, ok := keys[0].(signer.Secret)
				if !ok {
					return nil, usagef("%s with -scheme render: want a secret that begins with whsec_", secretVariable)
				}
				return render.NewVerifier(secret, o.options(keys, true)...)
			},
			signer: func(o *schemeFlags, keys []signer.Key) (signer.Signer, error) { return o.standard(keys, false, "") },
		},
		{
			name: "drone", says: "Drone: date and body, as HTTP signatures before RFC 9421", header: "Signature",
			verifier: func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error) {
				return drone.NewVerifier(literal(keys[0]), o.options(keys, false)...)
			},
			signer: func(_ *schemeFlags, keys []signer.Key) (signer.Signer, error) {
				return droneSigner{literal(keys[0])}, nil
			},
		},
		{
			name: "temps", says: "Temps: timestamped, with sha256= before the signature",
			verifier: func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error) {
				return temps.NewVerifier(literal(keys[0]), o.options(keys, true)...)
			},
			signer: func(o *schemeFlags, keys []signer.Key) (signer.Signer, error) {
				return signer.NewTimestamped(keys[0], append(o.options(keys, false), signer.WithSignaturePrefix("sha256="))...)
			},
		},
	}
}

// bodyOnlySchemes sign the body alone, or nothing.
func bodyOnlySchemes() []scheme {
	return []scheme{
		bodyOnly("github", "GitHub: body", layout{header: "X-Hub-Signature-256", mark: "sha256="}, func(o *schemeFlags, s signer.Secret, opts []signer.Option) (signer.Scheme, error) {
			return github.NewVerifier(s, o.withHeader(opts)...)
		}),
		bodyOnly("bitbucket", "Bitbucket: body", layout{header: "X-Hub-Signature", mark: "sha256="}, func(_ *schemeFlags, s signer.Secret, opts []signer.Option) (signer.Scheme, error) {
			return bitbucket.NewVerifier(s, opts...)
		}),
		bodyOnly("vercel", "Vercel: body", layout{header: "X-Vercel-Signature", sha1: true}, func(_ *schemeFlags, s signer.Secret, opts []signer.Option) (signer.Scheme, error) {
			return vercel.NewVerifier(s, opts...)
		}),
		bodyOnly("heroku", "Heroku: body", layout{header: "Heroku-Webhook-Hmac-Sha256", base64: true}, func(_ *schemeFlags, s signer.Secret, opts []signer.Option) (signer.Scheme, error) {
			return heroku.NewVerifier(s, opts...)
		}),
		bodyOnly("flux", "Flux: body", layout{header: "X-Signature", mark: "sha256="}, func(_ *schemeFlags, s signer.Secret, opts []signer.Option) (signer.Scheme, error) {
			return flux.NewVerifier(s, opts...)
		}),
		{
			name: "netlify", says: "Netlify: body, as a JSON Web Signature",
			verifier: func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error) {
				return netlify.NewVerifier(literal(keys[0]), o.judged(o.options(keys, false))...)
			},
			signer: func(_ *schemeFlags, keys []signer.Key) (signer.Signer, error) {
				return jwsSigner{literal(keys[0])}, nil
			},
		},
		bodyOnly("circleci", "CircleCI: body", layout{header: "Circleci-Signature", mark: "v1=", list: true}, func(_ *schemeFlags, s signer.Secret, opts []signer.Option) (signer.Scheme, error) {
			return circleci.NewVerifier(s, opts...)
		}),
		plainBodyOnly("pagerduty", "PagerDuty: body", layout{header: "X-Pagerduty-Signature", mark: "v1=", list: true}),
		plainBodyOnly("gitea", "Gitea: body", layout{header: "X-Gitea-Signature"}),
		plainBodyOnly("gogs", "Gogs: body", layout{header: "X-Gogs-Signature"}),
		customBodyOnly(),
		{
			name: "gitlab", says: "GitLab: signing token (Standard Webhooks) or secret token (signs nothing)", header: "X-Gitlab-Token",
			verifier: func(_ *schemeFlags, keys []signer.Key) (signer.Scheme, error) {
				return gitlab.NewVerifier(gitlab.Secrets{Token: literal(keys[0])})
			},
			signer: func(_ *schemeFlags, keys []signer.Key) (signer.Signer, error) {
				return signer.NewBearer(literal(keys[0]), signer.WithHeader("X-Gitlab-Token"))
			},
		},
		{
			name: "bearer", says: "an API key, which signs nothing", header: "Authorization",
			verifier: func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error) { return o.apiKeys(keys) },
			signer: func(o *schemeFlags, keys []signer.Key) (signer.Signer, error) {
				return signer.NewBearer(literal(keys[0]), o.withHeader(nil)...)
			},
		},
		{
			name: "basic", says: "user name and password, which sign nothing: Azure DevOps, Coolify and Jenkins",
			verifier: func(o *schemeFlags, keys []signer.Key) (signer.Scheme, error) {
				return signer.NewBasic(o.user, literal(keys[0]), o.judged(o.options(keys, false))...)
			},
			signer: func(o *schemeFlags, keys []signer.Key) (signer.Signer, error) {
				return basicSigner{o.user, literal(keys[0])}, nil
			},
		},
	}
}

func buildkite() []signer.Option {
	return []signer.Option{signer.WithHeader("X-Buildkite-Signature"), signer.WithFieldNames("timestamp", "signature")}
}

// literal returns the secret of a scheme that takes any text.
func literal(key signer.Key) signer.Secret {
	secret, _ := key.(signer.Secret)
	return secret
}

// options returns the options of further keys and, for verifying, the
// tolerance.
func (o *schemeFlags) options(keys []signer.Key, verifying bool) []signer.Option {
	var opts []signer.Option
	for _, key := range keys[1:] {
		opts = append(opts, signer.WithKey(key))
	}
	if verifying {
		opts = append(o.judged(opts), signer.WithTolerance(o.tolerance))
	}
	return opts
}

// judged adds the option for a time other than now.
func (o *schemeFlags) judged(opts []signer.Option) []signer.Option {
	if !o.at.IsZero() {
		opts = append(opts, signer.InsecureAt(o.at))
	}
	return opts
}

func (o *schemeFlags) withHeader(opts []signer.Option) []signer.Option {
	if o.header != "" {
		opts = append(opts, signer.WithHeader(o.header))
	}
	return opts
}

func (o *schemeFlags) standard(keys []signer.Key, verifying bool, prefix string) (*signer.Standard, error) {
	opts := o.options(keys, verifying)
	if prefix != "" {
		opts = append(opts, signer.WithHeaderPrefix(prefix))
	}
	return signer.NewStandard(keys[0], opts...)
}

func (o *schemeFlags) timestamped(keys []signer.Key, verifying bool) (*signer.Timestamped, error) {
	opts := o.options(keys, verifying)
	if o.prefix != "" {
		opts = append(opts, signer.WithHeaderPrefix(o.prefix))
	}
	if o.mark != "" {
		opts = append(opts, signer.WithSignaturePrefix(o.mark))
	}
	return signer.NewTimestamped(keys[0], opts...)
}

func (o *schemeFlags) stripe(keys []signer.Key, verifying bool, more ...signer.Option) (*signer.Stripe, error) {
	return signer.NewStripe(keys[0], append(o.withHeader(o.options(keys, verifying)), more...)...)
}

func (o *schemeFlags) httpsig(keys []signer.Key, verifying bool) (*httpsig.Scheme, error) {
	if o.keyID == "" {
		return nil, usagef("-scheme httpsig needs the key's ID; give -key-id")
	}
	var all []httpsig.Key
	for i, key := range keys {
		id := o.keyID
		if i > 0 {
			id += "-previous"
		}
		named, err := httpsig.NewKey(id, key)
		if err != nil {
			return nil, err
		}
		all = append(all, named)
	}
	var opts []httpsig.Option
	for _, key := range all[1:] {
		opts = append(opts, httpsig.WithKey(key))
	}
	if verifying {
		tolerance := o.tolerance
		if age := time.Since(o.at); !o.at.IsZero() && age > 0 {
			// This scheme knows only the present, but takes a longer tolerance.
			tolerance = min(tolerance+age, maxTolerance)
		}
		opts = append(opts, httpsig.WithTolerance(tolerance))
	}
	if verifying && o.external != "" {
		opts = append(opts, httpsig.WithExternalURL(o.external))
	}
	return httpsig.New(all[0], opts...)
}

func (o *schemeFlags) apiKeys(keys []signer.Key) (*signer.APIKeys, error) {
	var all []signer.APIKey
	for i, key := range keys {
		secret := literal(key)
		hash, err := signer.HashAPIKey(secret.Reveal())
		if err != nil {
			return nil, err
		}
		all = append(all, signer.APIKey{Principal: "desk", Hash: hash, Name: keyNames[min(i, 1)], NotAfter: secret.Expiry()})
	}
	return signer.NewAPIKeys(all, o.withHeader(nil)...)
}

// isJWS reports whether the signature is a JSON Web Signature. Each of them
// begins with the base64 of an object.
func isJWS(h http.Header) bool { return strings.HasPrefix(h.Get("X-Webhook-Signature"), "eyJ") }

// detect returns the scheme of a request by its headers, and the flags with
// what the headers tell. It returns false if no header is known.
func detect(o schemeFlags, h http.Header) (scheme, schemeFlags, bool) {
	if isJWS(h) {
		netlify, err := schemeNamed("netlify")
		return netlify, o, err == nil
	}
	for _, s := range schemes() {
		if s.header == "" || len(h[s.header]) == 0 {
			continue
		}
		if s.name == "bearer" && strings.HasPrefix(strings.ToLower(h.Get(s.header)), "basic ") {
			basic, err := schemeNamed("basic")
			return basic, o, err == nil
		}
		return s, o, true
	}
	// Any header prefix, such as that of X-Temps-Signature.
	for name := range h {
		prefix, found := strings.CutSuffix(name, "-Signature")
		if found && len(h[prefix+"-Timestamp"]) > 0 {
			o.prefix = prefix
			s, err := schemeNamed("timestamped")
			return s, o, err == nil
		}
	}
	return scheme{}, o, false
}
