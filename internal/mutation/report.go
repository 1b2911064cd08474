package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// score counts the mutants of a subject.
type score struct {
	subject                                         string
	mutants, killed, timedOut, equivalent, survived int
	took                                            time.Duration
}

// count ignores mutants that do not compile.
func count(s subject, results []result, list equivalent) score {
	sum := score{subject: s.name}
	for _, r := range results {
		_, listed := list[r.key()]
		switch {
		case r.outcome == invalid:
			continue
		case r.outcome == killed:
			sum.killed++
		case r.outcome == timedOut:
			sum.timedOut++
		case listed:
			sum.equivalent++
		default:
			sum.survived++
		}
		sum.mutants++
	}
	return sum
}

// percent is the share of mutants that tests notice, of those that they can.
func (s score) percent() float64 {
	possible := s.mutants - s.equivalent
	if possible == 0 {
		return 100
	}
	return 100 * float64(s.killed+s.timedOut) / float64(possible)
}

func printSurvivors(out io.Writer, results []result, list equivalent, verbose bool) {
	for _, r := range results {
		_, listed := list[r.key()]
		what := ""
		switch {
		case r.outcome == survived && !listed:
			what = "survived"
		case r.outcome == uncovered && !listed:
			what = "no test runs it"
		case !verbose:
		case r.outcome == killed:
			what = "killed by " + r.by
		case r.outcome == timedOut:
			what = "timed out"
		}
		if what != "" {
			fmt.Fprintf(out, "%s:%d: %s: %s\n%s\n", r.file, r.line, r.operator, what, r.key())
		}
	}
}

func printTable(out io.Writer, scores []score) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "subject\tmutants\tkilled\ttimed out\tequivalent\tsurvived\tscore\ttime\t")
	for _, s := range scores {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%.1f %%\t%v\t\n", s.subject, s.mutants, s.killed, s.timedOut, s.equivalent, s.survived, s.percent(), s.took.Round(time.Second))
	}
	_ = w.Flush() // as fmt.Fprintln above, which has no better place to report it
}
