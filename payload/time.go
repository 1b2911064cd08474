package payload

import (
	"fmt"
	"time"
)

// The range of years that dates can have.
const (
	minYear = 1970
	maxYear = 9999
)

// ParseTime reads a date and time in RFC 3339, or in another ISO 8601 format
// that CI systems emit, and returns it in UTC:
//
//	2024-01-15T10:30:00Z            RFC 3339; also lower-case t and z
//	2024-01-15T10:30:00.123456Z     a fraction after a dot or a comma;
//	                                digits after the ninth are dropped
//	2024-01-15 10:30:00+00:00       a space for the T (Azure Pipelines)
//	2024-01-15 10:30:00 +0200       offset after a space, no colon (GitLab, git)
//	2024-01-15T10:30:00+02          offset in hours
//	2024-01-15 10:30:00 UTC         the word UTC (GitLab)
//	2024-01-15T10:30Z               no seconds
//	2024-01-15T10:30:00             UTC, since there is no zone
//	2024-01-15                      midnight UTC, since there is no time
//
// The year must be 1970 to 9999, also after conversion to UTC. Earlier years
// are the zero dates that serializers write for an unset field, such as
// 0001-01-01T00:00:00Z. ParseTime also rejects days that the calendar lacks,
// hour 24, leap seconds, week dates, ordinal dates and the basic format without
// hyphens. Errors wrap [ErrInvalid].
func ParseTime(s string) (time.Time, error) {
	t, ok := parseTime(s)
	if !ok {
		return time.Time{}, fmt.Errorf("%w: time %s, such as 2024-01-15T10:30:00Z", ErrInvalid, validDate)
	}
	return t, nil
}

func parseTime(s string) (t time.Time, ok bool) {
	p := timeScanner{rest: s, ok: true}
	year := p.digits(4)
	p.one('-', '-')
	month := p.digits(2)
	p.one('-', '-')
	day := p.digits(2)
	var hour, minute, second, nanosecond, offset int
	if p.rest != "" {
		p.separator()
		hour = p.digits(2)
		p.one(':', ':')
		minute = p.digits(2)
		if p.optional(':', ':') {
			second = p.digits(2)
			if p.optional('.', ',') {
				nanosecond = p.fraction()
			}
		}
		offset = p.zone()
	}
	if !p.ok || p.rest != "" || year < minYear || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, second-offset, nanosecond, time.UTC)
	if !inRange(t) {
		return time.Time{}, false
	}
	return t, true
}

// inRange reports whether the year of t in UTC is one that ParseTime accepts.
func inRange(t time.Time) bool {
	year := t.UTC().Year()
	return year >= minYear && year <= maxYear
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	default:
		return 31
	}
}

// timeScanner reads a date from left to right. After the first mismatch ok
// stays false, and the results of the methods are meaningless.
type timeScanner struct {
	rest string
	ok   bool
}

// digits reads a number of exactly n digits.
func (p *timeScanner) digits(n int) int {
	if len(p.rest) < n {
		p.ok = false
		return 0
	}
	value := 0
	for i := range n {
		d := p.rest[i] - '0'
		if d > 9 {
			p.ok = false
		}
		value = value*10 + int(d)
	}
	p.rest = p.rest[n:]
	return value
}

// optional reads one character if it is a or b.
func (p *timeScanner) optional(a, b byte) bool {
	if p.rest == "" || p.rest[0] != a && p.rest[0] != b {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// one reads one character that must be a or b.
func (p *timeScanner) one(a, b byte) {
	if !p.optional(a, b) {
		p.ok = false
	}
}

// separator reads the character between date and time.
func (p *timeScanner) separator() {
	if !p.optional('T', 't') {
		p.one(' ', ' ')
	}
}

// fraction reads one or more fractional digits of a second and returns
// nanoseconds.
func (p *timeScanner) fraction() int {
	nanoseconds, scale, n := 0, 100_000_000, 0
	for n < len(p.rest) && p.rest[n]-'0' <= 9 {
		nanoseconds += int(p.rest[n]-'0') * scale
		scale /= 10
		n++
	}
	if n == 0 {
		p.ok = false
	}
	p.rest = p.rest[n:]
	return nanoseconds
}

// zone reads the rest of the text after the time and returns the offset from
// UTC in seconds.
func (p *timeScanner) zone() int {
	if p.rest == "" || p.optional('Z', 'z') {
		return 0
	}
	if p.optional(' ', ' ') && p.rest == "UTC" {
		p.rest = ""
		return 0
	}
	sign := 1
	if p.optional('-', '-') {
		sign = -1
	} else {
		p.one('+', '+')
	}
	hours, minutes := p.digits(2), 0
	if p.optional(':', ':') || p.rest != "" {
		minutes = p.digits(2)
	}
	if hours > 23 || minutes > 59 {
		p.ok = false
	}
	return sign * (hours*60 + minutes) * 60
}
