package dedupetest

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// config returns a small configuration, because the suite runs once for every
// faulty store.
func config(b bug) Config {
	return Config{
		New: func(_ testing.TB, ttl time.Duration) Subject {
			return Subject{Store: newSimple(b, ttl, 1<<20)}
		},
		NewBounded: func(_ testing.TB, ttl time.Duration, keys int) Subject {
			return Subject{Store: newSimple(b, ttl, keys)}
		},
		Around:     synctest.Test,
		Copies:     40,
		IDs:        3,
		Remembered: 100,
	}
}

func TestCorrectStorePasses(t *testing.T) {
	t.Parallel()
	Run(t, config(""))
}

// failures runs the suite on a store and returns the message of each failed
// check.
func failures(t *testing.T, c Config) map[string]string {
	t.Helper()
	c, err := c.withDefaults(true)
	require.NoError(t, err)
	failed := make(map[string]string)
	for _, k := range c.checks() {
		c.Around(t, func(t *testing.T) {
			if err := k.do(newEnv(t, c)); err != nil {
				failed[k.name] = err.Error()
			}
		})
	}
	return failed
}

// bugs lists every way to break the contract that the suite finds, and one
// check that finds it.
var bugs = map[bug]string{
	"TTL is not the configured one": "TTL is the configured one",

	"claim is not atomic":                    "one of many copies is handled",
	"claimed with an error":                  "lease must be greater than zero",
	"in flight is answered as completed":     "claimed key is in flight for every caller",
	"RetryAfter is zero":                     "claimed key is in flight for every caller",
	"RetryAfter is a constant":               "claimed key is in flight for every caller",
	"RetryAfter is too long":                 "claimed key is in flight for every caller",
	"claims of others prolong a lease":       "claimed key is in flight for every caller",
	"duplicates have a RetryAfter":           "completed key is a duplicate",
	"token for every caller":                 "claimed key is in flight for every caller",
	"token is a constant":                    "tokens rise with every claim",
	"token falls":                            "tokens rise with every claim",
	"token starts again":                     "tokens rise with every claim",
	"token is zero":                          "first claim is granted",
	"answers without the key":                "first claim is granted",
	"answers without the state":              "first claim is granted",
	"key is cut short":                       "keys are compared as a whole",
	"key is cut short at the front":          "keys are compared as a whole",
	"all keys are one":                       "different deliveries never meet",
	"remembers at claim":                     "lease keeps others out until it ends",
	"release frees everything":               "calls for one key leave others alone",
	"release does nothing":                   "released key is free at once",
	"completion frees the key":               "completed key is a duplicate",
	"forgets at the end of the lease":        "completed key is a duplicate",
	"leases are cut short":                   "lease keeps others out until it ends",
	"leases never end":                       "lease keeps others out until it ends",
	"all leases have the same length":        "lease is each claim's own",
	"renewal does nothing":                   "renewal keeps others out",
	"renewal fails":                          "renewal keeps others out",
	"renewal adds":                           "renewal keeps others out",
	"renewal changes the token":              "renewal keeps others out",
	"renewal only prolongs":                  "renewal can shorten a lease",
	"renewal revives":                        "renewal does not revive an ended lease",
	"renewal undoes completion":              "renewal of a completed or released claim fails",
	"late completion fails":                  "late completion counts without a successor",
	"late completion is dropped":             "late completion counts without a successor",
	"late completion needs the latest token": "late completion counts if the successor released the key",
	"completion fails the second time":       "completion can be repeated",
	"repeated completion prolongs":           "completion can be repeated",
	"release fails the second time":          "release can be repeated",
	"release undoes completion":              "release does not undo completion",

	"ownerless completion":              "slow worker cannot complete its successor's claim",
	"ownerless release":                 "slow worker cannot release its successor's claim",
	"ownerless renewal":                 "slow worker cannot renew its successor's claim",
	"fenced completion reports nothing": "slow worker cannot complete what its successor completed",
	"fenced release reports nothing":    "slow worker cannot release what its successor completed",

	"TTL counts from the claim":  "completed key is forgotten after the TTL and not before",
	"forgets early":              "completed key is forgotten after the TTL and not before",
	"never forgets":              "completed key is forgotten after the TTL and not before",
	"duplicates prolong the TTL": "completed key is forgotten after the TTL and not before",
	"evicts the oldest":          "completed keys are never evicted",

	"zero key is taken":            "zero key is refused",
	"lease is not checked":         "lease must be greater than zero",
	"renewal is not checked":       "lease must be greater than zero",
	"Complete takes any claim":     "claims that give no rights are refused",
	"Release takes any claim":      "claims that give no rights are refused",
	"Renew takes any claim":        "claims that give no rights are refused",
	"context is ignored":           "ended context is an error and changes nothing",
	"Claim ignores the context":    "ended context is an error and changes nothing",
	"Complete ignores the context": "ended context is an error and changes nothing",
	"Release ignores the context":  "ended context is an error and changes nothing",
	"Renew ignores the context":    "ended context is an error and changes nothing",

	"is not bounded":                  "full store refuses new keys and forgets nothing",
	"evicts when full":                "full store refuses new keys and forgets nothing",
	"evicts completed keys when full": "full store refuses new keys and forgets nothing",
	"refuses early":                   "full store refuses new keys and forgets nothing",
	"stays full":                      "full store has room again after the TTL",
	"leases that ended stay":          "full store has room again when leases end",
}

func TestEveryBugIsFound(t *testing.T) {
	t.Parallel()
	var (
		mu    sync.Mutex
		found = make(map[string]bool)
	)
	t.Run("bugs", func(t *testing.T) {
		for b, want := range bugs {
			t.Run(string(b), func(t *testing.T) {
				t.Parallel()
				failed := failures(t, config(b))
				require.Contains(t, failed, want)
				mu.Lock()
				defer mu.Unlock()
				for name := range failed {
					found[name] = true
				}
			})
		}
	})
	// A check that finds no bug would be useless.
	for _, k := range config("").checks() {
		require.True(t, found[k.name], "no bug makes the check %q fail", k.name)
	}
}

func TestMessagesSayWhatTheContractIs(t *testing.T) {
	t.Parallel()
	for b, want := range map[bug]string{
		"ownerless release":  `Release: <nil>, want "dedupe: lease lost": another caller has taken the delivery over`,
		"remembers at claim": "Claim returned completed, want in-flight: the lease has not ended yet",
		"token is a constant": "a later claim has token 1 after token 1: each later claim of a key needs a greater token, " +
			"or a slow worker cannot be distinguished from its successor",
		"claim is not atomic": "concurrent copies of one delivery were claimed: it must be exactly one",
		"evicts the oldest":   "the store must not forget any of them before the TTL has passed",
	} {
		var said []string
		for _, message := range failures(t, config(b)) {
			said = append(said, message)
		}
		require.Condition(t, func() bool { return containsText(said, want) }, "%s: %q in none of %q", b, want, said)
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	makes := config("").New
	for want, c := range map[string]Config{
		"Config.New is nil": {},
		"Slack 1m0s":        {New: makes, Slack: time.Minute},
		"Slack -1ns":        {New: makes, Slack: -1},
		"TTL 1s":            {New: makes, TTL: time.Second},
		"Copies 1":          {New: makes, Copies: 1},
		"IDs -1":            {New: makes, IDs: -1},
		"Remembered -1":     {New: makes, Remembered: -1},
	} {
		_, err := c.withDefaults(false)
		require.ErrorContains(t, err, want)
	}
}

func TestDefaultSizes(t *testing.T) {
	t.Parallel()
	c, err := Config{New: config("").New}.withDefaults(false)
	require.NoError(t, err)
	require.Equal(t, []int{1000, 100, 10_000}, []int{c.Copies, c.IDs, c.Remembered})
	c, err = Config{New: config("").New}.withDefaults(true)
	require.NoError(t, err)
	require.Equal(t, []int{100, 10, 1000}, []int{c.Copies, c.IDs, c.Remembered})
}

func TestOtherPanicsAreNotSwallowed(t *testing.T) {
	t.Parallel()
	k := check{"panics", func(*env) { panic("a bug of the store") }}
	require.PanicsWithValue(t, "a bug of the store", func() { _ = k.do(nil) })
}

// The checks that need no waiting also run without a second instance, a bubble
// or other options.
func TestPlainConfig(t *testing.T) {
	t.Parallel()
	c, err := Config{New: config("").New}.withDefaults(true)
	require.NoError(t, err)
	for _, k := range claimChecks()[:1] {
		c.Around(t, func(t *testing.T) { require.NoError(t, k.do(newEnv(t, c))) })
	}
	for _, k := range c.checks() {
		require.NotContains(t, k.name, "full store", "the capacity is checked only with NewBounded")
	}
}

func containsText(all []string, want string) bool {
	return slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, want) })
}
