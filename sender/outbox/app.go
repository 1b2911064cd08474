package outbox

import "context"

// App is one customer's view of an [Outbox], from [Outbox.App]. Its methods see
// only the endpoints, deliveries and replays of that app. An ID of another app
// gets the same answer as an ID that never existed. A service may therefore
// pass on the IDs that its customers send, once it knows who the customer is.
//
// All methods are safe for concurrent use.
type App struct {
	o    *Outbox
	name string
}

// App returns the view of one app. It never fails and does not ask the
// database. An app that was not registered ([Outbox.RegisterApp],
// [App.CreateEndpoint]) has nothing. Lists are empty or [ErrUnknownApp], and
// every ID is unknown. The same is true of a name that can't be registered.
func (o *Outbox) App(name string) *App { return &App{o: o, name: name} }

// Name returns the app's name, as given to [Outbox.App].
func (a *App) Name() string {
	if a == nil {
		return ""
	}
	return a.name
}

// open returns an error if the outbox was closed, or was not made.
func (a *App) open() error {
	if a == nil {
		return errNotMade
	}
	return a.o.open()
}

// registered returns [ErrUnknownApp] unless the app was registered.
func (a *App) registered(ctx context.Context) error {
	if !storable(a.name) {
		return unknownApp(a.name)
	}
	return requireApp(ctx, a.o.db.Reader(), a.name)
}

// owned names something of an app by an ID from outside.
type owned struct{ app, id string }

// storable reports whether both can be in a column. If not, there is no such
// thing.
func (k owned) storable() bool { return storable(k.app) && storable(k.id) }

// of returns the app's something with an ID.
func (a *App) of(id string) owned { return owned{app: a.name, id: id} }
