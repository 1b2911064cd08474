package dora

import (
	"encoding/json"
	"fmt"
	"time"
)

// Window is a span of whole days in a time zone, the last one exclusive. Make
// it with [NewWindow]. The zero Window is invalid.
type Window struct {
	zone  *time.Location
	first int // the first day, in days since 1970-01-01
	end   int // the day after the last one
}

// NewWindow returns the days from the first to the one before end, in the time
// zone with that IANA name, such as "Europe/Berlin". Days have the form
// 2026-01-31. An error wraps [ErrConfig]. Where the system has no time zones,
// import time/tzdata.
func NewWindow(zone, first, end string) (Window, error) {
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "" || zone == "Local" {
		return Window{}, configError("time zone %.100q: want an IANA name such as Europe/Berlin", zone)
	}
	w := Window{zone: location}
	if w.first, err = parseDay(first); err != nil {
		return Window{}, err
	}
	if w.end, err = parseDay(end); err != nil {
		return Window{}, err
	}
	if w.end <= w.first {
		return Window{}, configError("the window ends at %s, which is not after its first day, %s", end, first)
	}
	if w.Days() > maxDays {
		return Window{}, configError("the window has %d days; at most %d are supported", w.Days(), maxDays)
	}
	return w, nil
}

// maxDays bounds a window, and with it the weeks of a report.
const maxDays = 36_600

func parseDay(text string) (int, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, configError("day %.100q: want the form 2026-01-31", text)
	}
	return int(t.Unix() / 86400), nil
}

// dayText is the inverse of parseDay.
func dayText(day int) string { return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly) }

// Days is how many days the window has.
func (w Window) Days() int { return w.end - w.first }

// From is the first moment of the window.
func (w Window) From() time.Time { return startOfDay(w.first, w.zone) }

// To is the first moment after the window.
func (w Window) To() time.Time { return startOfDay(w.end, w.zone) }

// String is the window as text.
func (w Window) String() string {
	if w.zone == nil {
		return "no window"
	}
	return fmt.Sprintf("%s to %s, exclusive, %s", dayText(w.first), dayText(w.end), w.zone)
}

// MarshalJSON writes the days and the zone.
func (w Window) MarshalJSON() ([]byte, error) {
	if w.zone == nil {
		return []byte("null"), nil
	}
	return json.Marshal(struct {
		From string `json:"from"`
		To   string `json:"to"`
		Zone string `json:"zone"`
	}{dayText(w.first), dayText(w.end), w.zone.String()})
}

// dayOf is the day of a moment in the window's zone.
func (w Window) dayOf(t time.Time) int {
	y, m, d := t.In(w.zone).Date()
	return int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// startOfDay is the first moment of a day. Where clocks are changed at
// midnight, a day can begin at 01:00, or can have two midnights.
func startOfDay(day int, zone *time.Location) time.Time {
	y, m, d := time.Unix(int64(day)*86400, 0).UTC().Date()
	t := time.Date(y, m, d, 0, 0, 0, 0, zone)
	before := func(t time.Time) bool {
		_, _, today := t.Date()
		return today != d
	}
	if before(t) { // there is no midnight, so the change of clocks begins the day
		_, t = t.ZoneBounds()
		return t
	}
	start, _ := t.ZoneBounds()
	if start.IsZero() {
		return t
	}
	// The same midnight by the clocks before the last change.
	_, offset := start.Add(-time.Nanosecond).Zone()
	earlier := time.Date(y, m, d, 0, 0, 0, 0, time.FixedZone("", offset)).In(zone)
	if earlier.Before(start) && !before(earlier) && earlier.Before(t) {
		return earlier
	}
	return t
}

// mondays returns the first days of the weeks that overlap the window.
func (w Window) mondays() []int {
	// 1970-01-01 was a Thursday.
	monday := w.first - ((w.first+3)%7+7)%7
	var all []int
	for ; monday < w.end; monday += 7 {
		all = append(all, monday)
	}
	return all
}
