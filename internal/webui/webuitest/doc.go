// Package webuitest looks at the pages of a console. [Visitor] is a browser
// without JavaScript, which checks every page that it opens. [Walk] drives
// Debian's Chromium through a script.
package webuitest
