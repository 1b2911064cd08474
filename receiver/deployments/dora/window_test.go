package dora_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/deployments/dora"
)

func TestNewWindow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		zone, first, end string
		from, to         string // in UTC
		days             int
	}{
		{"UTC", "2026-03-02", "2026-03-09", "2026-03-02 00:00:00", "2026-03-09 00:00:00", 7},
		{"Europe/Berlin", "2026-03-28", "2026-03-30", "2026-03-27 23:00:00", "2026-03-29 22:00:00", 2},     // the second day has 23 hours
		{"America/Sao_Paulo", "2018-11-04", "2018-11-05", "2018-11-04 03:00:00", "2018-11-05 02:00:00", 1}, // no midnight
		{"America/Havana", "2026-11-01", "2026-11-02", "2026-11-01 04:00:00", "2026-11-02 05:00:00", 1},    // two midnights
		{"Asia/Kolkata", "1970-01-01", "1970-01-02", "1969-12-31 18:30:00", "1970-01-01 18:30:00", 1},
	} {
		w := window(t, c.zone, c.first, c.end)
		require.Equal(t, c.from, w.From().UTC().Format(time.DateTime), c.zone)
		require.Equal(t, c.to, w.To().UTC().Format(time.DateTime), c.zone)
		require.Equal(t, c.days, w.Days())
		text, err := w.MarshalJSON()
		require.NoError(t, err)
		require.JSONEq(t, `{"from":"`+c.first+`","to":"`+c.end+`","zone":"`+c.zone+`"}`, string(text))
	}
	for _, c := range []struct{ zone, first, end, want string }{
		{"Mars/Olympus", "2026-03-02", "2026-03-09", "IANA"},
		{"Local", "2026-03-02", "2026-03-09", "IANA"},
		{"", "2026-03-02", "2026-03-09", "IANA"},
		{"UTC", "yesterday", "2026-03-09", "2026-01-31"},
		{"UTC", "2026-03-09", "2026-03-09", "not after its first day"},
		{"UTC", "2026-03-09", "2027-02-30", "2026-01-31"},
		{"UTC", "1800-03-09", "2027-02-20", "at most"},
	} {
		_, err := dora.NewWindow(c.zone, c.first, c.end)
		require.ErrorIs(t, err, dora.ErrConfig)
		require.ErrorContains(t, err, c.want)
	}
}

// Which day a deployment belongs to depends on the zone.
func TestCompute_DaysAreOfTheZone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.record(live("a", sha("1"), clock(t, "23:30"))) // Tuesday in Berlin
	w.record(live("b", sha("2"), clock(t, "12:00", 1)))
	w.record(live("c", sha("3"), clock(t, "23:00", 6))) // the next Monday in Berlin
	r := w.report(window(t, "UTC", "2026-03-02", "2026-03-09"))
	require.Equal(t, 3, r.DeploymentFrequency.N)
	require.InDelta(t, 3.0/7, *r.DeploymentFrequency.PerDay, 0)
	require.InDelta(t, 3, *r.DeploymentFrequency.DaysPerWeek, 0)
	r = w.report(window(t, "Europe/Berlin", "2026-03-02", "2026-03-09"))
	require.Equal(t, []string{"a", "b"}, r.DeploymentFrequency.Deployments, "half-open")
	require.InDelta(t, 1, *r.DeploymentFrequency.DaysPerWeek, 0, "both on Tuesday")
	require.Len(t, r.Weeks, 1)
	r = w.report(window(t, "UTC", "2026-03-04", "2026-03-17"))
	require.Len(t, r.Weeks, 3)
	require.Equal(t, "2026-03-04", r.Weeks[0].From, "weeks are cut to the window")
	require.Equal(t, "2026-03-17", r.Weeks[2].To)
	require.InDelta(t, 0, *r.DeploymentFrequency.DaysPerWeek, 0, "the one whole week has none")
	r = w.report(window(t, "UTC", "2026-03-03", "2026-03-05"))
	require.Nil(t, r.DeploymentFrequency.DaysPerWeek, "no whole week")
	r = w.report(window(t, "UTC", "2026-02-02", "2026-02-09"))
	require.Nil(t, r.DeploymentFrequency.PerDay, "before the first record")
	r = w.report(window(t, "UTC", "2026-04-06", "2026-04-13"))
	require.InDelta(t, 0, *r.DeploymentFrequency.PerDay, 0, "zero, since there are records from before")
}
