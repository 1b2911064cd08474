package linearize

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/anishathalye/porcupine"
)

// fate says what the caller knows when a call has ended.
type fate string

const (
	// answered means that the output tells what happened.
	answered fate = "answered"
	// lost means that the call may take effect at any time after it began, or
	// never.
	lost fate = "lost"
	// refused means that the call had no effect and never will have one.
	refused fate = "refused"
)

// line is what a process writes when a call begins and when it ends. A process
// writes the first line before it makes the call. A process that is killed
// therefore leaves every call behind that may have taken effect.
type line struct {
	Client int             `json:"client"`
	Number int             `json:"number"` // of the call in its process
	At     int64           `json:"at"`
	Input  json.RawMessage `json:"input,omitempty"` // when it begins
	Fate   fate            `json:"fate,omitempty"`  // when it ends
	Output json.RawMessage `json:"output,omitempty"`
}

// journal numbers the calls of a process and writes their lines.
type journal struct {
	write func(line)
	calls atomic.Int64
}

// call makes a call of a client and writes both of its lines.
func (j *journal) call(client int, input any, do func() (output any, f fate)) fate {
	l := line{Client: client, Number: int(j.calls.Add(1)), Input: encode(input), At: now()}
	j.write(l)
	output, f := do()
	l.At, l.Input, l.Output, l.Fate = now(), nil, encode(output), f
	j.write(l)
	return f
}

func encode(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // inputs and outputs are structs of numbers and texts
	}
	return text
}

// writer returns a journal's function that writes JSON lines. Each line is one
// write, so that killing the process leaves no half line behind.
func writer(w io.Writer) func(line) {
	var mu sync.Mutex
	return func(l line) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = w.Write(append(encode(l), '\n')) // the parent finds out what is missing
	}
}

// history collects the lines of all processes.
type history struct {
	mu    sync.Mutex
	begun map[callID]*call
	order []*call // as they were read
	ended atomic.Int64
}

// callID names a call of a history.
type callID struct{ process, number int }

// call is one call of a history.
type call struct {
	client      int // in the whole history
	began, ends int64
	fate        fate
	input       json.RawMessage
	output      json.RawMessage
}

func newHistory() *history { return &history{begun: make(map[callID]*call)} }

// clientsPerProcess numbers the clients of different processes differently.
const clientsPerProcess = 10

// never is the end of a call without an answer. Such a call stays concurrent
// with all later ones.
const never = math.MaxInt64

func (h *history) add(process int, l line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := callID{process, l.Number}
	if l.Input != nil {
		c := &call{client: process*clientsPerProcess + l.Client, began: l.At, ends: never, fate: lost, input: l.Input}
		h.begun[id], h.order = c, append(h.order, c)
		return
	}
	c := h.begun[id]
	c.fate, c.output = l.Fate, l.Output
	if c.fate == answered {
		c.ends = l.At
	}
	h.ended.Add(1)
}

// happened returns the calls that took effect or may have.
func (h *history) happened() []*call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.order), func(c *call) bool { return c.fate == refused })
}

// timed is the input of a call together with the interval in which the call was
// made. The model of claims needs the interval, because leases end.
type timed[I any] struct {
	in       I
	from, to int64
}

// operations returns the calls as operations of a model. An unknown output is
// the zero O.
func operations[I, O any](calls []*call) ([]porcupine.Operation, error) {
	ops := make([]porcupine.Operation, 0, len(calls))
	for _, c := range calls {
		var in I
		var out O
		if err := json.Unmarshal(c.input, &in); err != nil {
			return nil, fmt.Errorf("input %s: %w", c.input, err)
		}
		if c.fate == answered {
			if err := json.Unmarshal(c.output, &out); err != nil {
				return nil, fmt.Errorf("output %s: %w", c.output, err)
			}
		}
		ops = append(ops, porcupine.Operation{
			ClientId: c.client, Input: timed[I]{in, c.began, c.ends}, Call: c.began, Output: out, Return: c.ends,
		})
	}
	return ops, nil
}

// split divides a history by what a call is about. The parts can be checked
// alone, because calls about different things don't affect each other.
func split[I any](about func(I) string) func([]porcupine.Operation) [][]porcupine.Operation {
	return func(ops []porcupine.Operation) [][]porcupine.Operation {
		parts := make(map[string][]porcupine.Operation)
		var names []string
		for _, op := range ops {
			name := about(op.Input.(timed[I]).in)
			if parts[name] == nil {
				names = append(names, name)
			}
			parts[name] = append(parts[name], op)
		}
		var all [][]porcupine.Operation
		for _, name := range names {
			all = append(all, parts[name])
		}
		return all
	}
}
