package signer_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// For a long run: go test ./signer -run TestMutationsAreRefused -mutations
// 10000000 -timeout 1h
var (
	mutations    = flag.Int("mutations", 0, "how many mutated requests TestMutationsAreRefused tries; 0: a few seconds' worth")
	mutationSeed = flag.Uint64("mutation-seed", 1, "seed of TestMutationsAreRefused, as a failure prints it")
)

const mutationBatch = 256 // mutations of one pair of signed requests

// Signed requests of every scheme are changed in every way of the threat model.
// None is accepted. A change is left out only if the request still says what
// was signed, by the narrow rules of each subject.
func TestMutationsAreRefused(t *testing.T) {
	t.Parallel()
	total := *mutations
	if total == 0 {
		total = 50_000
		if testing.Short() || raceEnabled {
			total = 20_000
		}
	}
	began := time.Now()
	// The clock stands still in the bubble, so a seed always gives the same
	// requests.
	synctest.Test(t, func(t *testing.T) {
		at(t, specTime)
		run := newMutationRun(t, total)
		run.work()
		for _, s := range run.subjects {
			require.Positive(t, run.tried[s.name].Load(), s.name)
		}
		require.GreaterOrEqual(t, run.sum(run.tried), int64(total))
		// This share would show that the rules for harmless changes are too generous.
		for _, s := range run.subjects {
			require.Less(t, run.harmless[s.name].Load(), run.tried[s.name].Load()/s.harmlessShare(t), s.name)
		}
		run.report()
	})
	t.Logf("in %v of real time", time.Since(began).Round(time.Millisecond))
}

// harmlessShare is the largest permitted share of mutations that may still say
// what was signed. It is one in twenty. For a list with two signatures it is
// one in five, because a change of one leaves the other valid.
func (s subject) harmlessShare(t *testing.T) int64 {
	if s.sep == "" {
		return 20
	}
	entries := strings.Split(signed(t, s.signer, "whk_1", time.Now(), nil).Header.Get(s.proof), s.sep)
	if len(entries)-timeEntries(entries) == 1 {
		return 20
	}
	return 5
}

type mutationRun struct {
	t               *testing.T
	subjects        []subject
	batches         int64
	next            atomic.Int64
	accepted        atomic.Int64
	tried, harmless map[string]*atomic.Int64
	reasons         [6]atomic.Int64
}

var mutationReasons = [...]error{signer.ErrMissingHeader, signer.ErrMalformed, signer.ErrTooOld, signer.ErrTooNew, signer.ErrNoMatch, signer.ErrInvalidAPIKey}

func newMutationRun(t *testing.T, total int) *mutationRun {
	run := &mutationRun{t: t, subjects: everyScheme(t), batches: int64((total + mutationBatch - 1) / mutationBatch), tried: map[string]*atomic.Int64{}, harmless: map[string]*atomic.Int64{}}
	run.batches = max(run.batches, int64(len(run.subjects)))
	for _, s := range run.subjects {
		run.tried[s.name], run.harmless[s.name] = new(atomic.Int64), new(atomic.Int64)
	}
	return run
}

func (run *mutationRun) work() {
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for run.accepted.Load() == 0 {
				batch := run.next.Add(1) - 1
				if batch >= run.batches {
					return
				}
				run.batch(batch)
			}
		})
	}
	workers.Wait()
}

// batch returns the same requests on any worker, because its random numbers
// come from the seed and the batch's index.
func (run *mutationRun) batch(batch int64) {
	m := &mutator{Rand: rand.New(rand.NewPCG(*mutationSeed, uint64(batch))), subject: run.subjects[batch%int64(len(run.subjects))]}
	for _, s := range run.subjects {
		m.donors = append(m.donors, m.delivery(run.t, s))
	}
	m.a, m.b = m.delivery(run.t, m.subject), m.delivery(run.t, m.subject)
	for _, genuine := range []delivery{m.a, m.b} {
		if _, err := m.subject.verifier.Verify(&http.Request{Header: genuine.header}, genuine.body); err != nil {
			run.t.Errorf("%s: a signed request is refused, so that its mutations show nothing: %v", m.subject.name, err)
			run.accepted.Add(1)
			return
		}
	}
	for tried := 0; tried < mutationBatch; {
		got := m.mutate()
		if got.equals(m.a) || got.equals(m.b) {
			continue // the operators undid each other, or found nothing to change
		}
		if m.subject.saysTheSame(got, m.a) || m.subject.saysTheSame(got, m.b) {
			run.harmless[m.subject.name].Add(1)
			run.requireAccepted(batch, m, got)
			continue
		}
		tried++
		run.try(batch, m, got)
	}
	run.tried[m.subject.name].Add(mutationBatch)
}

func (run *mutationRun) try(batch int64, m *mutator, got delivery) {
	verified, err := m.subject.verifier.Verify(&http.Request{Header: got.header}, got.body)
	for i, reason := range mutationReasons {
		// A comparison with each sentinel by errors.Is, but without
		// walking the chain for those that come first in it.
		if err != nil && strings.HasPrefix(err.Error(), reason.Error()) {
			run.reasons[i].Add(1)
			return
		}
	}
	run.accepted.Add(1)
	run.t.Errorf("%s: accepted as %+v (error: %v)\nby: %s\nheaders: %q\nbody: %q\nsigned: %q %q\nagain with -mutations %d -mutation-seed %d (batch %d)",
		m.subject.name, verified, err, strings.Join(m.log, ", "), got.header, got.body, m.a.header, m.a.body, run.batches*mutationBatch, *mutationSeed, batch)
}

// requireAccepted checks the rules for harmless changes. A change that a
// verifier refuses is not harmless.
func (run *mutationRun) requireAccepted(batch int64, m *mutator, got delivery) {
	if _, err := m.subject.verifier.Verify(&http.Request{Header: got.header}, got.body); err != nil {
		run.accepted.Add(1)
		run.t.Errorf("%s: taken for what was signed, and refused: %v\nby: %s\nheaders: %q\nsigned: %q (seed %d, batch %d)",
			m.subject.name, err, strings.Join(m.log, ", "), got.header, m.a.header, *mutationSeed, batch)
	}
}

func (run *mutationRun) sum(counts map[string]*atomic.Int64) (n int64) {
	for c := range maps.Values(counts) {
		n += c.Load()
	}
	return n
}

func (run *mutationRun) report() {
	var out strings.Builder
	fmt.Fprintf(&out, "%d mutated requests, %d accepted; seed %d\n", run.sum(run.tried), run.accepted.Load(), *mutationSeed)
	for _, s := range run.subjects {
		fmt.Fprintf(&out, "%12d  %s, and %d that said what was signed\n", run.tried[s.name].Load(), s.name, run.harmless[s.name].Load())
	}
	for i, reason := range mutationReasons {
		fmt.Fprintf(&out, "%12d  %v\n", run.reasons[i].Load(), reason)
	}
	run.t.Log(out.String())
}

// delivery is a request as a verifier sees it.
type delivery struct {
	header http.Header
	body   []byte
}

func (d delivery) clone() delivery {
	header := make(http.Header, len(d.header))
	for name, values := range d.header {
		header[name] = append(make([]string, 0, len(values)+1), values...)
	}
	return delivery{header, append([]byte(nil), d.body...)}
}

func (d delivery) equals(other delivery) bool {
	return string(d.body) == string(other.body) && maps.EqualFunc(d.header, other.header, slices.Equal[[]string])
}

// saysTheSame reports whether a mutated delivery is equal to the signed one in
// all parts that the scheme covers.
func (s subject) saysTheSame(mutated, base delivery) bool {
	if !s.unsigned && string(mutated.body) != string(base.body) {
		return false
	}
	for _, name := range s.fixed {
		if len(mutated.header[name]) != 1 || mutated.header[name][0] != base.header[name][0] {
			return false
		}
	}
	return len(mutated.header[s.proof]) == 1 && s.same(mutated.header[s.proof][0], base.header[s.proof][0])
}

// mutator makes mutated requests of one subject from two signed requests, a and
// b, and from other schemes' requests.
type mutator struct {
	*rand.Rand
	subject subject
	a, b    delivery
	donors  []delivery
	log     []string
}

// delivery signs a request of random content.
func (m *mutator) delivery(t *testing.T, s subject) delivery {
	body := []byte(pick(m, bodyPieces))
	for range m.IntN(6) {
		body = append(body, pick(m, bodyPieces)...)
	}
	if m.IntN(8) == 0 {
		for range 1 + m.IntN(64) {
			body = append(body, byte(m.Uint32()))
		}
	}
	body = strconv.AppendUint(body, m.Uint64(), 10) // no two of a batch are the same
	r := &http.Request{Header: make(http.Header)}
	if err := s.signer.Sign(r.Context(), r, "whk_"+strconv.FormatUint(m.Uint64(), 36), time.Now().Add(time.Duration(m.IntN(601)-300)*time.Second), body); err != nil {
		t.Error(err)
	}
	return delivery{r.Header, body}
}

var bodyPieces = []string{
	"", "{", "}", `"a":1,`, `{"event":"deploy.live","app":"hé"}`, "1614265330.", "2.", ".", "\n", "\r\n", " ", "\x00", "\ufeff", "null", "[]", `\u00e9`, "=", ",v1=", "v1,", "%20",
}

func pick[T any](m *mutator, from []T) T { return from[m.IntN(len(from))] }

// mutate changes a copy of a by one to three operators.
func (m *mutator) mutate() delivery {
	d := m.a.clone()
	m.log = m.log[:0]
	for range 1 + max(0, m.IntN(6)-3) {
		op := pick(m, operators)
		if m.subject.unsigned && op.onBody {
			op = pick(m, operators[:proofOperators])
		}
		m.log = append(m.log, op.name)
		op.apply(m, &d)
	}
	return d
}
