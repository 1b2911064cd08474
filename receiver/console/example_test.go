package console_test

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/deployhook/deployhook/receiver/console"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// A service mounts the pages next to its own, and says who each request is
// from.
func Example() {
	ledger, err := deployments.NewMemoryLedger() // or sqlledger.OpenSQLite
	if err != nil {
		fmt.Println(err)
		return
	}
	calculator, err := dora.New(ledger)
	if err != nil {
		fmt.Println(err)
		return
	}
	var in *inbox.Inbox // from inbox.OpenSQLite or inbox.NewPostgres
	fmt.Println(mount(http.NewServeMux(), in, console.NewRecent(), ledger, calculator))
	// Output: console: invalid configuration: WithInbox: the inbox is nil; leave the option out
}

// mount is compiled, and the package's documentation shows its body.
func mount(mux *http.ServeMux, in *inbox.Inbox, recent *console.Recent, ledger console.Ledger, calculator *dora.Calculator) error {
	pages, err := console.New(func(r *http.Request) (console.Access, error) {
		user, err := session(r) // the service's own
		if err != nil {
			return console.Access{}, fmt.Errorf("%w: %w", console.ErrUnauthenticated, err)
		}
		return console.Access{Read: true, Act: user.OnCall, Organizations: user.Organizations, Actor: user.Name}, nil
	}, console.WithInbox(in), console.WithRecent(recent), console.WithLedger(ledger), console.WithMetrics(calculator))
	if err != nil {
		return err
	}
	mux.Handle("/console/", http.StripPrefix("/console", pages))
	return nil
}

type user struct {
	Name          string
	OnCall        bool
	Organizations []string
}

func session(*http.Request) (user, error) { return user{}, errors.New("no session") }
