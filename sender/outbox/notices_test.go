package outbox_test

import (
	"context"
	"sync"

	"github.com/deployhook/deployhook/sender/outbox"
)

// notices collects what a hook is told.
type notices struct {
	mu  sync.Mutex
	all []outbox.Notice
}

func (n *notices) add(_ context.Context, notice outbox.Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, notice)
}

func (n *notices) of(kind outbox.NoticeKind) (some []outbox.Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, notice := range n.all {
		if notice.Kind == kind {
			some = append(some, notice)
		}
	}
	return some
}
