// Package apitest checks the management API's OpenAPI document with two
// libraries, and every answer of a session against it. It is a separate module,
// so that users of the outbox do not download them.
package apitest
