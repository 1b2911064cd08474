package outbox_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox"
)

// Each method of a value that no constructor made returns an error that names
// the constructors.
func TestOutbox_NilAndZero(t *testing.T) {
	t.Parallel()
	for _, unmade := range []*outbox.Outbox{nil, {}} {
		require.NoError(t, unmade.Close())
		require.Empty(t, unmade.Faults())
		value := reflect.ValueOf(unmade)
		for i := range value.NumMethod() {
			name, method := value.Type().Method(i).Name, value.Method(i)
			if name == "Close" || name == "Faults" {
				continue
			}
			var args []reflect.Value
			for in := range method.Type().NumIn() {
				arg := reflect.Zero(method.Type().In(in))
				if arg.Type() == reflect.TypeFor[context.Context]() {
					arg = reflect.ValueOf(t.Context())
				}
				args = append(args, arg)
			}
			if method.Type().IsVariadic() {
				args = args[:len(args)-1]
			}
			results := method.Call(args)
			err, _ := results[len(results)-1].Interface().(error)
			require.ErrorIs(t, err, outbox.ErrConfig, name)
			require.ErrorContains(t, err, "OpenSQLite or NewPostgres", name)
		}
	}
}
