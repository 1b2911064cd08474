package sim

import (
	"flag"
	"runtime"
	"time"
)

// Flags are the command-line flags of a simulation's test.
type Flags struct {
	seed    *uint64
	first   *uint64
	seeds   *int
	long    *time.Duration
	again   *int
	bugs    *string
	bubbles *int
	log     *bool
}

// NewFlags defines the flags. seeds is how many seeds "go test" runs by
// default, so it should take a few seconds at most. Call it once, from a
// variable of the test package.
func NewFlags(seeds int) *Flags {
	return &Flags{
		seed:    flag.Uint64("sim.seed", 0, "run this seed alone and print its log"),
		first:   flag.Uint64("sim.first", 0, "the first seed; by default 1, and with -sim.for a new one each time"),
		seeds:   flag.Int("sim.seeds", seeds, "how many seeds to run"),
		long:    flag.Duration("sim.for", 0, "run seeds for this long instead, such as 30m"),
		again:   flag.Int("sim.again", 100, "how often to repeat a seed that failed, to count how often it fails again"),
		bugs:    flag.String("sim.bugs", "", "put known bugs back by hand and look for each: a regular expression of their names, or \".\" for all"),
		bubbles: flag.Int("sim.bubbles", 2*runtime.GOMAXPROCS(0), "how many seeds run at the same time"),
		log:     flag.Bool("sim.log", false, "print the log of every seed"),
	}
}
