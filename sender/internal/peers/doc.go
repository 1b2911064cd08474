// Package peers compares package sender with other clients that retry. It is a
// separate module, so that users of the sender do not download them.
package peers
