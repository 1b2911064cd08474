package console

// Screens are the methods and paths of all screens.
func (h *Handler) Screens() (all []string) {
	for _, s := range h.screens() {
		all = append(all, s.method+" "+s.path)
	}
	return all
}

// Kinds is the number of outcomes and reasons that are told apart.
const Kinds = kindCount
