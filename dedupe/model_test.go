package dedupe

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/seeds"
)

// model is the simplest form of the contract, for comparison with a Memory.
type model struct {
	ttl      time.Duration
	capacity int
	now      time.Duration
	records  map[Key]modelRecord
}

type modelRecord struct {
	token     Token
	completed bool
	deadline  time.Duration
}

func (m *model) live(k Key) (modelRecord, bool) {
	r, ok := m.records[k]
	return r, ok && m.now < r.deadline
}

func (m *model) full() bool {
	n := 0
	for k := range m.records {
		if _, live := m.live(k); live {
			n++
		}
	}
	return n >= m.capacity
}

// claim returns no token, because the store chooses the tokens.
func (m *model) claim(k Key) (Claim, error) {
	r, live := m.live(k)
	switch {
	case live && r.completed:
		return Claim{Key: k, State: Completed}, nil
	case live:
		return Claim{Key: k, State: InFlight, RetryAfter: r.deadline - m.now}, nil
	case m.full():
		return Claim{}, ErrFull
	}
	return Claim{Key: k, State: Claimed}, nil
}

func (m *model) renew(c Claim, lease time.Duration) error {
	r, live := m.live(c.Key)
	if !live || r.completed || r.token != c.Token {
		return ErrLeaseLost
	}
	m.records[c.Key] = modelRecord{token: c.Token, deadline: m.now + lease}
	return nil
}

func (m *model) complete(c Claim) error {
	r, live := m.live(c.Key)
	switch {
	case live && r.token != c.Token:
		return ErrLeaseLost
	case live && r.completed:
		return nil
	case !live && m.full():
		return ErrFull
	}
	m.records[c.Key] = modelRecord{token: c.Token, completed: true, deadline: m.now + m.ttl}
	return nil
}

func (m *model) release(c Claim) error {
	r, live := m.live(c.Key)
	if live && (r.completed || r.token != c.Token) {
		return ErrLeaseLost
	}
	delete(m.records, c.Key)
	return nil
}

// steps are durations near the times at which something happens.
var steps = []time.Duration{
	1, time.Second, 10*time.Second - 1, 10 * time.Second, 10*time.Second + 1, 20 * time.Second, time.Minute,
	30 * time.Minute, time.Hour - time.Minute, time.Hour - 1, time.Hour, 3 * time.Hour,
}

var leaseLengths = []time.Duration{1, time.Second, 10 * time.Second, 10 * time.Second, time.Minute, time.Hour}

// compare runs a program of random operations, three bytes each, on a Memory
// and on the model.
func compare(t *testing.T, program []byte, keys, capacity, shards int) {
	ctx := context.Background()
	store := newTestMemory(t, time.Hour, capacity, shards)
	want := model{ttl: time.Hour, capacity: capacity, records: make(map[Key]modelRecord)}
	latest := make(map[Key]Token)
	var claims []Claim // all granted claims, including those lost long ago
	for ; len(program) >= 3; program = program[3:] {
		op, a, b := program[0], int(program[1]), int(program[2])
		lease := leaseLengths[b%len(leaseLengths)]
		if op %= 8; op > 3 && len(claims) == 0 {
			continue
		}
		recent := func() Claim { return claims[len(claims)-1-a%min(len(claims), 32)] }
		switch op {
		case 0, 1, 2:
			k := numberedKey(uint64(a % keys))
			expected, wantErr := want.claim(k)
			c, err := store.Claim(ctx, k, lease)
			require.Equal(t, wantErr, err)
			if c.State == Claimed {
				require.Greater(t, c.Token, latest[k])
				latest[k], expected.Token = c.Token, c.Token
				claims = append(claims, c)
				want.records[k] = modelRecord{token: c.Token, deadline: want.now + lease}
			}
			require.Equal(t, expected, c)
		case 3:
			d := steps[b%len(steps)]
			time.Sleep(d) // fake time of the bubble
			want.now += d
		case 4:
			c := recent()
			require.Equal(t, want.renew(c, lease), store.Renew(ctx, c, lease))
		case 5, 7:
			c := recent()
			require.Equal(t, want.complete(c), store.Complete(ctx, c))
		case 6:
			c := recent()
			require.Equal(t, want.release(c), store.Release(ctx, c))
		}
		require.NoError(t, store.audit())
	}
	require.NoError(t, store.Close())
	require.Zero(t, store.Len())
}

func TestMemoryAgreesWithTheModel(t *testing.T) {
	t.Parallel()
	for _, size := range []struct {
		name                   string
		keys, capacity, shards int
	}{
		{"few keys", 6, 100, 1},
		{"one shard, growing", 200, 1000, 1},
		{"one shard, full", 40, 16, 1},
		{"two shards, full", 40, 16, 2},
		{"many shards, full", 100, 16, 64},
		{"room for one", 5, 1, 4},
	} {
		t.Run(size.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(10) {
				r := rand.New(rand.NewPCG(seed, 5))
				program := make([]byte, 3*2000)
				for i := range program {
					program[i] = byte(r.Uint32())
				}
				synctest.Test(t, func(t *testing.T) { compare(t, program, size.keys, size.capacity, size.shards) })
			}
		})
	}
}

func FuzzMemory(f *testing.F) {
	seeds.Add(f, 6)
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) < 3 || len(program) > 3*1000 {
			return
		}
		shape := program[0]
		synctest.Test(t, func(t *testing.T) {
			compare(t, program[1:], 1+int(shape%64), 1+int(shape>>4), 1<<(shape%4))
		})
	})
}
