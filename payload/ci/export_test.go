package ci

import "slices"

// SystemInfo is a row of the table as the tests of fixtures need it.
type SystemInfo struct {
	ID, Name           string
	PullRequests, Tags bool // whether the row can recognize them
}

// Systems returns the rows of the table.
func Systems() []SystemInfo {
	var all []SystemInfo
	for _, row := range slices.Concat(systems[:], platforms[:]) {
		all = append(all, SystemInfo{row.id, row.name, row.pr != "", row.tag != ""})
	}
	return all
}
