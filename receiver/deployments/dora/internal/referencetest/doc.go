// Package referencetest compares package dora with a second implementation, in
// testdata/reference.py. It is a separate module, because users of dora need
// not download the histories in testdata.
package referencetest
