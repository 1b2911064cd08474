package cdevents_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
)

func BenchmarkFromDeployment(b *testing.B) {
	d := deployment(b, payload.StatusSuccess)
	b.ReportAllocs()
	for b.Loop() {
		e, err := cdevents.FromDeployment(d, options)
		if err != nil {
			b.Fatal(err)
		}
		e.Binary()
	}
}

func BenchmarkDecode(b *testing.B) {
	e, err := cdevents.FromDeployment(deployment(b, payload.StatusSuccess), options)
	require.NoError(b, err)
	h, body := e.Binary()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		got, err := cdevents.Decode(h, body)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := got.Deployment(payload.Deployment{}); err != nil {
			b.Fatal(err)
		}
	}
}
