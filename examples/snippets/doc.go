// Package snippets holds the code of README.md and of the package documentation, where the compiler and the tests see
// it. Its test fails when a snippet that a reader sees is not, line for line, in one of its files.
package snippets
