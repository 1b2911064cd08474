package webui

// Tag is a word with a color. Class is one of good, bad, wait and idle. The
// block "tag" shows it.
type Tag struct{ Class, Text string }

// Confirmation asks before something is done. The block "confirm" shows it.
type Confirmation struct {
	// CanWrite is whether the viewer may do it.
	CanWrite bool
	Text     []string
	// Field is the name of a text to enter. It is empty if the form has no text.
	Field, Label string
	// Hidden has further values of the form.
	Hidden map[string]string
	Button string
	Danger bool
	// Back leads to where the viewer came from.
	Back string
}

// Good returns a tag for what went well.
func Good(text string) Tag { return Tag{"good", text} }

// Bad returns a tag for what went wrong.
func Bad(text string) Tag { return Tag{"bad", text} }

// Wait returns a tag for what is not decided yet.
func Wait(text string) Tag { return Tag{"wait", text} }

// Idle returns a tag for something that needs no attention.
func Idle(text string) Tag { return Tag{"idle", text} }
