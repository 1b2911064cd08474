package deployments

import (
	"context"
	"slices"
	"time"
)

var _ Timeline = (*MemoryLedger)(nil)

// Live implements [Timeline.Live].
func (l *MemoryLedger) Live(ctx context.Context, organization string, s Scope, at time.Time) (*Record, error) {
	if err := l.begin(ctx, organization); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	micros := at.UnixMicro()
	for _, row := range slices.Backward(l.places(organization, s).succeeded) {
		if row.liveAt(micros) {
			return row.record()
		}
	}
	return nil, ErrNotRecorded
}

// Latest implements [Timeline.Latest].
func (l *MemoryLedger) Latest(ctx context.Context, organization string, s Scope, p Page) (Records, error) {
	limit, before, err := p.Place(s)
	if err != nil {
		return Records{}, err
	}
	if err := l.begin(ctx, organization); err != nil {
		return Records{}, err
	}
	defer l.mu.Unlock()
	rows := l.places(organization, s).all
	i, _ := slices.BinarySearchFunc(rows, before, compareRow)
	var found []Record
	for _, row := range slices.Backward(rows[:i]) {
		if len(found) > limit {
			break
		}
		record, err := row.record()
		if err != nil {
			return Records{}, err
		}
		found = append(found, *record)
	}
	return p.Timeline(found)
}

// places returns the records of a scope, or none.
func (l *MemoryLedger) places(organization string, s Scope) memoryPlaces {
	org := l.orgs[organization]
	if org == nil || org.scopes[memoryScope{s.Service, s.Environment}] == nil {
		return memoryPlaces{}
	}
	return *org.scopes[memoryScope{s.Service, s.Environment}]
}
