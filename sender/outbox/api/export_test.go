package api

import "github.com/deployhook/deployhook/sender/outbox"

// Codes are all codes of problems and of their fields, with the texts of those
// that are this package's own.
func Codes() map[string]string {
	codes := map[string]string{}
	for _, code := range outbox.ProblemCodes() {
		codes[code] = ""
	}
	for code, text := range details {
		codes[code] = text
	}
	return codes
}

// AccessOfOperations says what each operation requires, in the document's
// words.
func AccessOfOperations() map[string]string {
	all := map[string]string{}
	for _, o := range (&Handler{}).operations() {
		text := "read"
		if o.right != toRead {
			text = "change"
		}
		if o.operator {
			text = "operator " + text
		}
		all[o.id] = text
	}
	return all
}

// Operations are the methods and paths with their IDs.
func Operations() map[string]string {
	all := map[string]string{}
	for _, o := range (&Handler{}).operations() {
		all[o.method+" "+o.path] = o.id
	}
	return all
}
