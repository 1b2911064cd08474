// Package schematest tests that the JSON Schemas of package payload agree with
// its Go code. It is a separate module so that the schema validator is not a
// dependency of deployhook.
package schematest
