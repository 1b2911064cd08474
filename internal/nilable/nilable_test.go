package nilable_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/deployhook/deployhook/internal/nilable"
)

func TestIsNil(t *testing.T) {
	t.Parallel()
	var reader io.Reader
	for _, v := range []any{
		nil, reader, (*http.Client)(nil), http.HandlerFunc(nil), http.Header(nil), []byte(nil), (chan int)(nil),
	} {
		assert.True(t, nilable.IsNil(v), "%T", v)
	}
	for _, v := range []any{0, "", struct{}{}, &http.Client{}, http.Header{}, []byte{}, http.NotFound} {
		assert.False(t, nilable.IsNil(v), "%T", v)
	}
}
