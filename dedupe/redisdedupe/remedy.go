package redisdedupe

import (
	"errors"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// remedies is for the codes with which errors of Redis begin.
var remedies = map[string]string{
	"MISCONF":    "Redis can't save to its disk and refuses writes; free space on its disk and look at its log",
	"READONLY":   "the server is a replica; connect to the primary, or use redis.NewFailoverClient with Sentinel",
	"LOADING":    "Redis is loading its data and takes commands when it is done",
	"NOAUTH":     "the server wants a password; add it to the client's options",
	"WRONGPASS":  "the server refused the user or the password",
	"NOPERM":     "the package documentation lists the rights that the user needs",
	"NOREPLICAS": "fewer replicas than min-replicas-to-write are connected",
}

// remedy says what an operator can do about an error of the client, or returns
// an empty string.
func remedy(err error) string {
	if answer, ok := errors.AsType[redis.Error](err); ok {
		code, _, _ := strings.Cut(answer.Error(), " ")
		return remedies[code]
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return "check that Redis runs and that this host can reach it"
	}
	return ""
}
