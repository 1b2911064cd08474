package jobdb

import (
	"context"
	"sync"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"
)

// finished holds the IDs of jobs that [DB.FinishTx] has deleted, and for which
// River has nothing to record.
type finished struct {
	mu  sync.Mutex
	ids map[int64]struct{}
}

func (f *finished) add(job int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ids == nil {
		f.ids = map[int64]struct{}{}
	}
	f.ids[job] = struct{}{}
}

// take reports whether the job was added, and forgets it.
func (f *finished) take(job int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.ids[job]
	delete(f.ids, job)
	return ok
}

// finishingDriver is a driver whose executor leaves finished jobs out when
// River records what has become of jobs.
type finishingDriver[T any] struct {
	riverdriver.Driver[T]

	finished *finished
}

func (d *finishingDriver[T]) GetExecutor() riverdriver.Executor {
	return &finishingExecutor{d.Driver.GetExecutor(), d.finished}
}

type finishingExecutor struct {
	riverdriver.Executor

	finished *finished
}

func (e *finishingExecutor) JobSetStateIfRunningMany(ctx context.Context, all *riverdriver.JobSetStateIfRunningManyParams) ([]*rivertype.JobRow, error) {
	left := &riverdriver.JobSetStateIfRunningManyParams{Now: all.Now, Schema: all.Schema}
	for i, id := range all.ID {
		if e.finished.take(id) {
			continue
		}
		left.ID = append(left.ID, id)
		left.Attempt = append(left.Attempt, all.Attempt[i])
		left.ErrData = append(left.ErrData, all.ErrData[i])
		left.FinalizedAt = append(left.FinalizedAt, all.FinalizedAt[i])
		left.MetadataDoMerge = append(left.MetadataDoMerge, all.MetadataDoMerge[i])
		left.MetadataUpdates = append(left.MetadataUpdates, all.MetadataUpdates[i])
		left.ScheduledAt = append(left.ScheduledAt, all.ScheduledAt[i])
		left.State = append(left.State, all.State[i])
	}
	if len(left.ID) == 0 {
		return nil, nil
	}
	return e.Executor.JobSetStateIfRunningMany(ctx, left)
}
