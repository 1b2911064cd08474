package console_test

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
	"github.com/deployhook/deployhook/sender/outbox/console"
)

// A platform mounts the pages next to its own, and says who each request is
// from.
func Example() {
	var o *outbox.Outbox // from outbox.OpenSQLite or outbox.NewPostgres
	fmt.Println(mount(http.NewServeMux(), o))
	// Output: console: invalid configuration: New: the outbox is nil
}

// mount is compiled, and the package's documentation shows its body.
func mount(mux *http.ServeMux, o *outbox.Outbox) error {
	pages, err := console.New(o, func(r *http.Request) (api.Access, error) {
		user, err := session(r) // the platform's own
		if err != nil {
			return api.Access{}, fmt.Errorf("%w: %w", api.ErrUnauthenticated, err)
		}
		return api.Access{App: user.Customer, ReadOnly: !user.Admin, Actor: user.Name}, nil
	})
	if err != nil {
		return err
	}
	mux.Handle("/console/", http.StripPrefix("/console", pages))
	return nil
}

type user struct {
	Customer, Name string
	Admin          bool
}

func session(*http.Request) (user, error) { return user{}, errors.New("no session") }
