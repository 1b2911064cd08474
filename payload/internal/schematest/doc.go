// Package schematest tests that the JSON Schemas of package payload agree with its Go code. It is a module of its own,
// so that the schema validator is no dependency of the SDK.
package schematest
