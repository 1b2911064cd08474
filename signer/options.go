package signer

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// DefaultTolerance is how far a timestamp may lie from now, on either
	// side, inclusive.
	DefaultTolerance = 5 * time.Minute
	maxTolerance     = 24 * time.Hour
)

// Option configures a scheme's constructor. An option that has no meaning for
// that scheme is an error there.
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

// config collects the values of options. given records which options occurred,
// so that a scheme can refuse those that it does not know.
type config struct {
	keys      []Key
	tolerance time.Duration
	principal string
	prefix    string
	header    string
	mark      string // before the signature
	base64    bool
	list      bool
	sha1      bool
	blind     bool
	at        time.Time // at which requests are judged; zero is now
	given     []string

	timeField, signatureField string
}

// WithKey adds a further key, for rotation. Verification tries every key that
// is not past its end, and reports which one matched. A scheme whose header
// holds a list of signatures signs with all of them. A scheme with a single
// signature signs with the first that is active.
//
// Default: only the key that the constructor takes. More keys make a forged
// request cost more, so their number is bounded:
//
//	keys                          at most
//	secrets only                  8
//	with an Ed25519 key           3
//	Ed25519 keys among them       2, the current and the next
func WithKey(key Key) Option {
	return optionFunc(func(c *config) {
		c.keys = append(c.keys, key)
		c.given = append(c.given, "WithKey")
	})
}

// WithTolerance sets how far a timestamp may lie from now, on either side,
// inclusive. Default: 5 minutes ([DefaultTolerance]). It takes 1 second to 24
// hours. Zero is an error, because an unchecked timestamp protects nothing.
func WithTolerance(d time.Duration) Option {
	return optionFunc(func(c *config) {
		c.tolerance = d
		c.given = append(c.given, "WithTolerance")
	})
}

// WithPrincipal names the tenant or organization that the keys belong to.
// [Verified].Principal returns it. Default: no principal. The empty string is
// an error. Give each tenant's scheme a different principal, so that
// deduplication keeps their deliveries apart.
func WithPrincipal(name string) Option {
	return optionFunc(func(c *config) {
		c.principal = name
		c.given = append(c.given, "WithPrincipal")
	})
}

// WithHeaderPrefix replaces the beginning of the header names of [Timestamped]
// and [Standard]. Default: "X-Webhook" and "Webhook". An empty prefix is an
// error. Both ends need the same prefix. [AnyOf] accepts more than one.
//
//	NewTimestamped   "X-Temps"   X-Temps-Timestamp, X-Temps-Signature, X-Temps-Id
//	NewStandard      "Svix"      Svix-Id, Svix-Timestamp, Svix-Signature, as Svix sends them
func WithHeaderPrefix(prefix string) Option {
	return optionFunc(func(c *config) {
		c.prefix = prefix
		c.given = append(c.given, "WithHeaderPrefix")
	})
}

// WithHeader replaces the header that holds the signature or the credential. An
// invalid name is an error. The defaults are:
//
//	NewStripe               Stripe-Signature
//	NewGitHub               X-Hub-Signature-256 (Bitbucket's is X-Hub-Signature)
//	NewBodyOnly             none, so the option is required
//	NewAPIKeys, NewBearer   Authorization; any other holds the key without "Bearer"
func WithHeader(name string) Option {
	return optionFunc(func(c *config) {
		c.header = http.CanonicalHeaderKey(name)
		c.given = append(c.given, "WithHeader")
	})
}

// WithSignaturePrefix sets the text before the signature, "sha256=" for
// example. It has 1 to 64 bytes of printable ASCII. Default: none.
//
// [Timestamped] writes the prefix before the hex. Its verification also takes
// the hex alone and with "sha256=". [NewBodyOnly] requires the prefix.
func WithSignaturePrefix(prefix string) Option {
	return optionFunc(func(c *config) {
		c.mark = prefix
		c.given = append(c.given, "WithSignaturePrefix")
	})
}

// WithBase64 makes [NewBodyOnly] read the signature as padded standard base64.
// Default: lower-case hex.
func WithBase64() Option {
	return optionFunc(func(c *config) {
		c.base64 = true
		c.given = append(c.given, "WithBase64")
	})
}

// WithSignatureList makes [NewBodyOnly] read several signatures, separated by
// commas, of which one must match. The sender signs with two secrets while it
// rotates them. Entries without the prefix of [WithSignaturePrefix], which the
// option requires, belong to other versions and are ignored. More than 16
// entries are refused. Default: the header is one signature.
func WithSignatureList() Option {
	return optionFunc(func(c *config) {
		c.list = true
		c.given = append(c.given, "WithSignatureList")
	})
}

// InsecureSHA1 makes [NewBodyOnly] verify HMAC-SHA1, for senders that have
// nothing better. Collisions of SHA-1 can be computed. They are not known to
// break HMAC, but nothing new should rely on that. Default: HMAC-SHA256.
func InsecureSHA1() Option {
	return optionFunc(func(c *config) {
		c.sha1 = true
		c.given = append(c.given, "InsecureSHA1")
	})
}

// WithFieldNames replaces the names of the two fields in the header of
// [Stripe]. Default: "t" and "v1". Buildkite has "timestamp" and "signature".
// Each name is 1 to 32 letters, digits, dashes and underscores, and they must
// differ.
func WithFieldNames(timestamp, signature string) Option {
	return optionFunc(func(c *config) {
		c.timeField, c.signatureField = timestamp, signature
		c.given = append(c.given, "WithFieldNames")
	})
}

// WithoutDiagnosis turns off the hints in [ErrNoMatch] errors about what would
// have matched. Default: on. A scheme looks for a hint after a failed
// verification, at most once a second. Hints are for the operator's log, and
// the sender never sees them.
func WithoutDiagnosis() Option {
	return optionFunc(func(c *config) {
		c.blind = true
		c.given = append(c.given, "WithoutDiagnosis")
	})
}

// InsecureAt judges requests as if it were another time than now. It is for
// tools that examine requests which were recorded earlier. A receiver with it
// would accept a captured request for ever. Default: the time of each call of
// Verify. The zero time is an error. Signing is not affected.
func InsecureAt(t time.Time) Option {
	return optionFunc(func(c *config) {
		c.at = t
		c.given = append(c.given, "InsecureAt")
	})
}

// now returns the time at which a request is judged.
func now(at time.Time) time.Time {
	if at.IsZero() {
		return time.Now()
	}
	return at
}

// newConfig applies the options for a scheme that takes those named in known.
func newConfig(scheme string, key Key, opts []Option, known ...string) (*config, error) {
	c := &config{keys: []Key{key}, tolerance: DefaultTolerance}
	for _, o := range opts {
		if o == nil {
			return nil, configError(scheme, "a nil Option was given; leave it out")
		}
		o.apply(c)
	}
	for _, name := range c.given {
		if !slices.Contains(known, name) {
			return nil, configError(scheme, "%s does not apply to this scheme; leave it out", name)
		}
	}
	if reservedHeader(c.header) {
		return nil, configError(scheme, "WithHeader: %s is the connection's own and would be dropped or overwritten; choose another", c.header)
	}
	if c.header != "" && !validHeaderPrefix(c.header) || slices.Contains(c.given, "WithHeader") && c.header == "" {
		return nil, configError(scheme, "WithHeader: want letters, digits and dashes, such as %q", "X-Signature")
	}
	if c.tolerance < time.Second || c.tolerance > maxTolerance {
		return nil, configError(scheme, "WithTolerance(%v): want %v to %v", c.tolerance, time.Second, maxTolerance)
	}
	if slices.Contains(c.given, "InsecureAt") && c.at.IsZero() {
		return nil, configError(scheme, "InsecureAt: the time is zero; give the time at which the request arrived")
	}
	if slices.Contains(c.given, "WithPrincipal") && c.principal == "" {
		return nil, configError(scheme, "WithPrincipal: the name is empty; leave the option out for no principal")
	}
	if slices.Contains(c.given, "WithSignaturePrefix") && !validMark(c.mark) {
		return nil, configError(scheme, "WithSignaturePrefix: want 1 to %d bytes of printable ASCII, such as %q", maxMark, hashPrefix)
	}
	if c.list && c.mark == "" {
		return nil, configError(scheme, "WithSignatureList: entries need a prefix that tells their version; give WithSignaturePrefix, such as v1=")
	}
	if slices.Contains(c.given, "WithFieldNames") && (!validField(c.timeField) || !validField(c.signatureField) || c.timeField == c.signatureField) {
		return nil, configError(scheme, "WithFieldNames: want two different names of 1 to %d letters, digits, dashes and underscores", maxField)
	}
	return c, nil
}

const (
	maxMark  = 64
	maxField = 32
)

func validMark(mark string) bool {
	return mark != "" && len(mark) <= maxMark && !strings.ContainsFunc(mark, func(r rune) bool { return r < ' ' || r > '~' })
}

func validField(name string) bool {
	return len(name) <= maxField && validHeaderPrefix(strings.ReplaceAll(name, "_", "x"))
}

// reservedHeader reports whether net/http or the sender sets the header itself,
// so that a credential in it would not be sent.
func reservedHeader(name string) bool {
	switch name {
	case "Host", "Connection", "Transfer-Encoding", "Trailer", "Te", "Upgrade", "Expect", "Keep-Alive", "User-Agent", "Accept-Encoding", "Cookie",
		"Idempotency-Key", "X-Idempotency-Key":
		return true
	}
	return strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "Proxy-")
}

func configError(scheme, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrConfig, scheme, fmt.Sprintf(format, args...))
}
