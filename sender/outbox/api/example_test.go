package api_test

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

// A platform mounts the API next to its own pages, and says who each request is
// from.
func Example() {
	var o *outbox.Outbox // from outbox.OpenSQLite or outbox.NewPostgres
	fmt.Println(mount(http.NewServeMux(), o))
	// Output: api: invalid configuration: New: the outbox is nil
}

// mount is compiled, and the package's documentation shows its body.
func mount(mux *http.ServeMux, o *outbox.Outbox) error {
	handler, err := api.New(o, func(r *http.Request) (api.Access, error) {
		user, err := session(r) // the platform's own
		if err != nil {
			return api.Access{}, fmt.Errorf("%w: %w", api.ErrUnauthenticated, err)
		}
		return api.Access{App: user.Customer, ReadOnly: !user.Admin, Actor: user.Name}, nil
	})
	if err != nil {
		return err
	}
	mux.Handle("/webhooks/", http.StripPrefix("/webhooks", handler))
	return nil
}

type user struct {
	Customer, Name string
	Admin          bool
}

func session(*http.Request) (user, error) { return user{}, errors.New("no session") }
