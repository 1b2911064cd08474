// Package inbound is what the packages that read other systems' deployment events have in common: strict reading of a
// body with the path of each member kept, filling a payload.Deployment from it, and serving the result behind a
// receiver.
//
// A package of a system is a [Mapping], its tables, and one line for each of its exported functions.
package inbound
