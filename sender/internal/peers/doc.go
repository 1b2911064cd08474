// Package peers compares package sender with other clients that retry. It is a module of its own so that nobody who
// imports the sender downloads them.
package peers
