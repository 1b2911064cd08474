package console

// Screens are the methods and paths of all screens.
func Screens() (all []string) {
	for _, s := range screens() {
		all = append(all, s.method+" "+s.path)
	}
	return all
}
