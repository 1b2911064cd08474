package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// The stores.
const (
	onSQLite   = "sqlite"
	onPostgres = "postgres"
	onRedis    = "redis"
)

func storeNames() []string { return []string{onSQLite, onPostgres, onRedis} }

// The ways to break a receiver on purpose, see -break.
const (
	breakDrop  = "drop"
	breakTwice = "twice"
	breakLeak  = "leak"
)

// config is what the flags say.
type config struct {
	duration   time.Duration
	stores     []string
	seed       uint64
	rate       float64
	faultEvery time.Duration
	faults     []string
	every      time.Duration
	out        string
	postgres   string
	broken     string
	json       bool
	drain      time.Duration
	heapBound  float64 // bytes a minute
	// rescueNow ends the leases of all jobs before the drain, so that nothing
	// waits for those of killed processes.
	rescueNow bool
}

// choice is a flag with a list of names, each from a set.
type choice struct {
	names *[]string
	from  []string
}

func (c choice) String() string {
	if c.names == nil {
		return ""
	}
	return strings.Join(*c.names, ",")
}

func (c choice) Set(text string) error {
	if text == "all" {
		*c.names = c.from
		return nil
	}
	var names []string
	for name := range strings.SplitSeq(text, ",") {
		if !slices.Contains(c.from, name) {
			return fmt.Errorf("%q is not one of %s, or all", name, strings.Join(c.from, ", "))
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	*c.names = names
	return nil
}

// parse returns the configuration. It has printed why if there is an error.
func parse(args []string, stderr io.Writer) (*config, error) {
	c := &config{stores: storeNames(), faults: faultNames()}
	f := flag.NewFlagSet("soak", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.DurationVar(&c.duration, "for", time.Minute, "how long to publish; the drain and the checks come after it")
	f.Var(choice{&c.stores, storeNames()}, "store", "the stores, separated by commas")
	f.Uint64Var(&c.seed, "seed", 0, "seed of the faults and the operators; 0 means a random one")
	f.Float64Var(&c.rate, "rate", 20, "events a second in each store")
	f.DurationVar(&c.faultEvery, "fault-every", 4*time.Second, "mean time between two faults")
	f.Var(choice{&c.faults, faultNames()}, "faults", "the faults, separated by commas")
	f.DurationVar(&c.every, "every", 5*time.Second, "time between two samples")
	f.StringVar(&c.out, "out", "", "directory for plots, samples and logs; empty means a new one below the system's for temporary files")
	f.StringVar(&c.postgres, "postgres", "", "URL of a PostgreSQL server, which is not killed; empty means an own server, and without its programs that of DEPLOYHOOK_TEST_POSTGRES")
	f.BoolVar(&c.json, "json", false, "print the summary as JSON, and the progress to standard error")
	f.DurationVar(&c.drain, "drain", 5*time.Minute, "how long it may take after the last fault until the next of the pending deliveries ends")
	f.Float64Var(&c.heapBound, "heap-bound", 256<<10, "by how many bytes a minute the heap of a process may grow")
	f.StringVar(&c.broken, "break", "", "break the receivers to see that it is noticed: drop (lose one event in 10), twice (repeat one effect in 10) or leak (keep each body)")
	f.BoolVar(&c.rescueNow, "rescue-now", false, "drain sooner, by ending the leases of the jobs of killed processes")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if err := c.check(f.Args()); err != nil {
		fmt.Fprintln(stderr, "soak:", err)
		return nil, err
	}
	if c.seed == 0 {
		c.seed = rand.Uint64N(1_000_000_000)
	}
	return c, nil
}

func (c *config) check(rest []string) error {
	var errs []error
	if len(rest) > 0 {
		errs = append(errs, fmt.Errorf("unexpected argument %q; all settings are flags", rest[0]))
	}
	if c.duration <= 0 || c.every <= 0 || c.faultEvery <= 0 || c.drain <= 0 {
		errs = append(errs, errors.New("-for, -every, -fault-every and -drain must be more than 0"))
	}
	if c.rate <= 0 || c.rate > 1000 {
		errs = append(errs, errors.New("-rate must be more than 0 and at most 1000"))
	}
	if !slices.Contains([]string{"", breakDrop, breakTwice, breakLeak}, c.broken) {
		errs = append(errs, fmt.Errorf("-break=%s: want drop, twice or leak", c.broken))
	}
	return errors.Join(errs...)
}
