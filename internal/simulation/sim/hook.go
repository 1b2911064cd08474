package sim

import (
	"context"
	"net"
	"net/http"
	"reflect"
)

// UseDialer makes the http.Transports in the fields of a struct connect with
// dial, and returns how many there are. v is a pointer to the struct, for
// example a *sender.Sender, which has no option for a network that is not the
// machine's. Call it before the first request.
//
// It replaces the dialer only. The connection pool, the timeouts and everything
// above are the product's own.
func UseDialer(v any, dial func(ctx context.Context, network, address string) (net.Conn, error)) (found int) {
	s := reflect.ValueOf(v).Elem()
	for i := range s.NumField() {
		field := s.Field(i)
		if field.Kind() == reflect.Interface {
			field = field.Elem()
		}
		if field.Kind() == reflect.Pointer && field.Type() == reflect.TypeFor[*http.Transport]() {
			(*http.Transport)(field.UnsafePointer()).DialContext = dial
			found++
		}
	}
	return found
}
