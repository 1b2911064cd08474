// Package snippets contains the code of README.md and of the package
// documentation, so that it is compiled and tested. Its test fails if a snippet
// is not, line by line, in one of its files.
package snippets
