package template_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/template"
)

func ExampleNew() {
	format, err := template.New(`{
		"text": "**{{.Title}}** {{.App}}: {{.Error | firstLine}}",
		"link": {"$if": "{{.URL}}", "href": "{{.URL}}"}
	}`, template.Markdown)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, body, err := format.Encode(context.Background(), &payload.Event{
		Type: payload.DeployFailed, Timestamp: time.Unix(1773325321, 0), DeploymentID: "dep_1",
		App: "shop", Error: `","admin":true,"x":"[bank](javascript:alert(1))` + "\nmore",
	})
	fmt.Println(string(body), err)
	// Output:
	// {"text":"**DEPLOY FAILED** shop: \",\"admin\":true,\"x\":\"\\[bank\\]\\(javascript:alert\\(1\\)\\)"} <nil>
}

// The code of the package's documentation.
func _(ctx context.Context, s *sender.Sender, event *payload.Event) error {
	format, err := template.New(`{
		"text": "{{.Title}}: {{.App}} {{.Version}}{{if .Error}} - {{.Error | firstLine | truncate 200}}{{end}}",
		"priority": 5,
		"link": {"$if": "{{.URL}}", "title": "Open", "href": "{{.URL}}"}
	}`, template.Markdown)
	if err != nil {
		return err // names the place in the document
	}
	receipt, err := s.Send(ctx, sender.Endpoint{
		URL: sender.NewURL(os.Getenv("CHAT_URL")), Signer: sender.InsecureUnsigned(), BodyFormat: format,
	}, event)
	_ = receipt
	return err
}
