package inbound

import "regexp"

// bodyID allows no dot, so that no ID can look like the hash that the receiver
// uses if there is no ID.
var bodyID = regexp.MustCompile(`^[0-9A-Za-z_-]{1,255}$`)

// BodyID returns the delivery's ID from a verified body, or "" if there is no
// usable one.
func BodyID(body []byte, path ...string) string {
	_, event, err := newBuilder(body)
	if err != nil {
		return ""
	}
	id, _ := event.Get(path...).value.Text()
	if !bodyID.MatchString(id) {
		return ""
	}
	return id
}
