// Package inbound is what the packages that read other systems' deployment
// events have in common: strict reading of a body with the path of each member
// kept, and filling a payload.Deployment from it. It serves nothing.
//
// A package of a system is a [Mapping], its tables, and a line or two for each of
// its exported functions.
package inbound
