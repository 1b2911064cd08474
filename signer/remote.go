package signer

import (
	"context"
	"errors"
)

// signRemote calls a key that is kept elsewhere. A crypto.Signer has no
// context, so the call runs on a separate goroutine and is abandoned when ctx
// ends. The message then still belongs to it.
//
// A panic reaches the caller, as if the key had been called directly.
func signRemote(ctx context.Context, sign signFunc, message []byte) ([]byte, error) {
	type result struct {
		signature []byte
		err       error
		panicked  any
	}
	done := make(chan result, 1)
	go func() {
		r := result{err: errors.New("its Sign method ended the goroutine")}
		defer func() {
			r.panicked = recover()
			done <- r
		}()
		r.signature, r.err = sign(message)
	}()
	select {
	case r := <-done:
		if r.panicked != nil {
			panic(r.panicked) // the panic of the sign function, in the goroutine of its caller
		}
		return r.signature, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
