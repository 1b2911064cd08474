package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

// options are the command's flags.
type options struct {
	only    string
	match   string
	min     float64
	workers int
	resume  string
	list    bool
	verbose bool
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	var o options
	flags := flag.NewFlagSet("mutation", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.StringVar(&o.only, "only", "", "try these `subjects` only, separated by commas")
	flags.StringVar(&o.match, "match", "", "try the mutants only whose line matches this `pattern`, without the check of equivalent.txt")
	flags.Float64Var(&o.min, "min", 95, "fail if a subject's score is below this `percentage`")
	flags.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "try this `number` of mutants at once")
	flags.StringVar(&o.resume, "resume", "", "append each result to this `file`, and take from it those of an interrupted run")
	flags.BoolVar(&o.list, "list", false, "print the mutants without trying them")
	flags.BoolVar(&o.verbose, "v", false, "print each mutant with the test that noticed it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(subjects(), o.only)
	if err != nil {
		return err
	}
	root, err := workspace(ctx)
	if err != nil {
		return err
	}
	list, err := parseEquivalent(equivalentText)
	if err != nil {
		return err
	}
	return try(ctx, root, chosen, list, o, out, progress)
}

// choose returns the subjects with the given names, or all.
func choose(all []subject, only string) ([]subject, error) {
	if only == "" {
		return all, nil
	}
	var chosen []subject
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(s subject) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only %s: no such subject; -only takes %s", name, names(all))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func names(all []subject) string {
	var list []string
	for _, s := range all {
		list = append(list, s.name)
	}
	return strings.Join(list, ", ")
}

// workspace returns the folder of go.work.
func workspace(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOWORK").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOWORK: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if file == "" || file == "off" {
		return "", errors.New("no workspace; run the command inside the repository, with GOWORK unset")
	}
	return filepath.Dir(file), nil
}

// try tries the mutants of the subjects and prints what it finds.
func try(ctx context.Context, root string, chosen []subject, list equivalent, o options, out, progress io.Writer) error {
	match, err := regexp.Compile(o.match)
	if err != nil {
		return fmt.Errorf("-match: %w", err)
	}
	var every []result
	var scores []score
	for _, s := range chosen {
		began := time.Now()
		results, err := tryOne(ctx, root, s, match, o, out, progress)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		every = append(every, results...)
		sum := count(s, results, list)
		sum.took = time.Since(began)
		scores = append(scores, sum)
	}
	if o.list {
		return nil
	}
	printSurvivors(out, every, list, o.verbose)
	printTable(out, scores)
	var wrong []string
	if o.match == "" {
		wrong = list.stale(chosen, every)
	}
	for _, s := range scores {
		if s.percent() < o.min {
			wrong = append(wrong, fmt.Sprintf("the score of %s is %.1f %%, below %.1f %%; write tests that notice the survivors", s.subject, s.percent(), o.min))
		}
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return errors.New(strings.Join(wrong, "\n"))
	}
	return nil
}

func tryOne(ctx context.Context, root string, s subject, match *regexp.Regexp, o options, out, progress io.Writer) ([]result, error) {
	c, err := load(ctx, root, s)
	if err != nil {
		return nil, err
	}
	chosen := slices.DeleteFunc(slices.Clone(c.mutants), func(m *mutant) bool { return !match.MatchString(m.key()) })
	if o.list {
		for _, m := range chosen {
			fmt.Fprintln(out, m.key())
		}
		return nil, nil
	}
	temp, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	t, err := newTrial(ctx, c, temp, o, progress)
	if err != nil {
		return nil, err
	}
	return t.all(ctx, chosen)
}
