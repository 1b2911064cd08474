// Package snippets contains the code of Markdown pages and of the package
// documentation, so that it is compiled and tested. Its test fails if a snippet
// is not, line by line, in a test of any package or in a program of examples.
package snippets
