//go:build cgo

package sender_test

// withCgo says that the C library's resolver is there to be tested.
const withCgo = true
