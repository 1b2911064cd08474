package console

import (
	"html/template"
)

// templateFuncs are for the pages of this package.
func templateFuncs() template.FuncMap {
	return template.FuncMap{
		"recentQuery": func(span, source string) template.URL { return template.URL(recentQuery(span, source)) },
	}
}
