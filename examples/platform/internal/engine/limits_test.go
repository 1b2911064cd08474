package engine

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Messages of compilers and programs become part of events, so they are
// shortened. The beginning of a compiler's message and the end of a program's
// output are kept.
func TestMessages_AreShortened(t *testing.T) {
	t.Parallel()
	var h head
	var end tail
	for range 1000 {
		n, err := h.Write([]byte("first\xff "))
		assert.NoError(t, err)
		assert.Equal(t, 7, n)
		_, _ = end.Write([]byte("more "))
	}
	_, _ = end.Write([]byte("last"))
	assert.Less(t, len(h.text()), headLimit+headLimit/2)
	assert.True(t, strings.HasPrefix(h.text(), "first\uFFFD first"))
	assert.True(t, strings.HasSuffix(h.text(), " …"))
	assert.LessOrEqual(t, len(end.String()), tailLimit)
	assert.True(t, strings.HasSuffix(end.String(), "more last"))
}
