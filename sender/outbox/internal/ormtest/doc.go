// Package ormtest tests that the outbox publishes in the transactions of GORM,
// Bun and database/sql. It is a separate module, so that users of the outbox do
// not download them.
package ormtest
