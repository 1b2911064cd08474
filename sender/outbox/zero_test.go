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
		require.Equal(t, "shop", unmade.App("shop").Name())
		requireNotMade(t, reflect.ValueOf(unmade))
		requireNotMade(t, reflect.ValueOf(unmade.App("shop")))
	}
	for _, unmade := range []*outbox.App{nil, {}} {
		require.Empty(t, unmade.Name())
		requireNotMade(t, reflect.ValueOf(unmade))
	}
}

// requireNotMade calls each method that returns an error.
func requireNotMade(t *testing.T, value reflect.Value) {
	t.Helper()
	called := 0
	for i := range value.NumMethod() {
		name, method := value.Type().Method(i).Name, value.Method(i)
		n := method.Type().NumOut()
		if name == "Close" || method.Type().Out(n-1) != reflect.TypeFor[error]() {
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
		err, _ := method.Call(args)[n-1].Interface().(error)
		require.ErrorIs(t, err, outbox.ErrConfig, name)
		require.ErrorContains(t, err, "OpenSQLite or NewPostgres", name)
		called++
	}
	require.Greater(t, called, 5)
}
