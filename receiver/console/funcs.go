package console

import (
	"html/template"
	"net/url"
)

// templateFuncs are for the pages of this package.
func templateFuncs() template.FuncMap {
	return template.FuncMap{"query": url.QueryEscape}
}
