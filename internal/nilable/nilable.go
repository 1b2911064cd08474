// Package nilable finds values that a constructor cannot use although they
// compare unequal to nil.
package nilable

import "reflect"

// IsNil reports whether v is nil or an interface that holds a nil pointer,
// func, map, slice or channel. Such a value panics when it is first used.
func IsNil(v any) bool {
	if v == nil {
		return true
	}
	value := reflect.ValueOf(v)
	switch value.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return value.IsNil()
	}
	return false
}
