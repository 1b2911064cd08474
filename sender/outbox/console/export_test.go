package console

// Screen is one method of one path.
type Screen struct {
	Method, Path string
	Operator     bool // for operators only
}

// Screens are all that the router has.
func Screens() (all []Screen) {
	for _, s := range screens() {
		all = append(all, Screen{s.method, s.path, s.operator})
	}
	return all
}
