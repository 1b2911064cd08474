// Package apitest checks the management API's OpenAPI document with two
// libraries, and every answer of a session against it. It also generates
// clients in Go and TypeScript, and uses them with examples/platform. It is a
// separate module, so that users of the outbox do not download the libraries.
package apitest
