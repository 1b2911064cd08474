package crashtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// step is a point in a delivery at which a process may be killed.
type step string

const (
	afterVerify   step = "after-verify"
	afterClaim    step = "after-claim"
	inHandler     step = "in-handler"
	afterEffect   step = "after-effect"
	afterComplete step = "after-complete"
)

var steps = []step{afterVerify, afterClaim, inHandler, afterEffect, afterComplete}

// Every fourth event has a planned crash. The event's number selects the step,
// and the first process that reaches this step dies.
const crashEvery = 4

func eventName(i int) string { return fmt.Sprintf("event-%06d", i) }

// deliveryID returns the delivery's ID, from which a store's key is derived.
func deliveryID(event string) string { return "whk_" + strings.TrimPrefix(event, "event-") }

// planned returns the step at which the event's first delivery crashes.
func planned(event string) (step, bool) {
	i, err := strconv.Atoi(strings.TrimPrefix(event, "event-"))
	if err != nil || i%crashEvery != 0 {
		return "", false
	}
	return steps[i/crashEvery%len(steps)], true
}

// crashMark is the file that records that the event's planned crash has
// happened.
func crashMark(dir, event string) string { return filepath.Join(dir, "crashed-"+event) }

// crash kills this process if that is planned for the event at this step and
// has not happened yet.
func (c *child) crash(at step, event string) {
	if s, ok := planned(event); !ok || s != at {
		return
	}
	mark, err := os.OpenFile(crashMark(c.Dir, event), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return
	}
	if err != nil {
		panic(err)
	}
	_ = mark.Close()
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {} // until the signal arrives
}

// A journal is a file to which all processes append lines with what happened,
// which event and which process. The kernel keeps a written line even if the
// process is killed.
type journal struct {
	file    *os.File
	process string // unique in the run, because process IDs are reused
}

// Values in a journal line.
const (
	effect    = "effect"
	completed = "completed"
)

func journalPath(dir string) string { return filepath.Join(dir, "journal") }

func openJournal(dir string) (*journal, error) {
	file, err := os.OpenFile(journalPath(dir), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &journal{file: file, process: fmt.Sprintf("%d@%d", os.Getpid(), time.Now().UnixNano())}, err
}

func (j *journal) write(what, event string) error {
	_, err := fmt.Fprintf(j.file, "%s %s %s\n", what, event, j.process)
	return err
}

type line struct {
	what, event, process string
}

func readJournal(dir string) ([]line, error) {
	text, err := os.ReadFile(journalPath(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var lines []line
	for _, l := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var one line
		if l == "" {
			continue
		}
		if _, err := fmt.Sscanf(l, "%s %s %s", &one.what, &one.event, &one.process); err != nil {
			return nil, fmt.Errorf("line %q of the journal: %w", l, err)
		}
		lines = append(lines, one)
	}
	return lines, nil
}
