package console_test

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/deployhook/deployhook/receiver/console"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// A service mounts the pages next to its own, and says who each request is
// from.
func Example() {
	var in *inbox.Inbox // from inbox.OpenSQLite or inbox.NewPostgres
	fmt.Println(mount(http.NewServeMux(), in))
	// Output: console: invalid configuration: WithInbox: the inbox is nil; leave the option out
}

// mount is compiled, and the package's documentation shows its body.
func mount(mux *http.ServeMux, in *inbox.Inbox) error {
	pages, err := console.New(func(r *http.Request) (console.Access, error) {
		user, err := session(r) // the service's own
		if err != nil {
			return console.Access{}, fmt.Errorf("%w: %w", console.ErrUnauthenticated, err)
		}
		return console.Access{Read: true, Act: user.OnCall, Actor: user.Name}, nil
	}, console.WithInbox(in))
	if err != nil {
		return err
	}
	mux.Handle("/console/", http.StripPrefix("/console", pages))
	return nil
}

type user struct {
	Name   string
	OnCall bool
}

func session(*http.Request) (user, error) { return user{}, errors.New("no session") }
