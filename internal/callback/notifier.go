package callback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
)

// Channel is the name of this channel in an access.Receipt.
const Channel = "callback"

// Notifier tells people through another, and applications by calling them back. It implements
// broker.Notifier. An application is no channel of people's: where there is none, they are not
// told.
type Notifier struct {
	People interface {
		Channels() []access.Channel
		Notify(ctx context.Context, n access.Notice) access.Receipts
	}
	// Registry has the keys and hosts of applications, of now.
	Registry application.Registry
	Sender   Sender
	// Local: the service is reached on loopback alone, and applications may be there too.
	Local bool
	// Others tells who is not told like this. It is false of an application that is; may be nil.
	Others func(context.Context, access.Request) (bool, error)
}

// Channels are those of people.
func (n Notifier) Channels() []access.Channel { return n.People.Channels() }

// Notify tells an application of NoticeChanged, and people of all else.
func (n Notifier) Notify(ctx context.Context, notice access.Notice) access.Receipts {
	if notice.Kind != access.NoticeChanged {
		return n.People.Notify(ctx, notice)
	}
	err := n.call(ctx, notice)
	if err != nil {
		err = fmt.Errorf("application %s: %w", notice.Request.Asking.Application, err)
	}
	return access.Receipts{{Channel: Channel, Ref: notice.ID, Err: err}}
}

func (n Notifier) call(ctx context.Context, notice access.Notice) error {
	asking := notice.Request.Asking
	if n.Others != nil {
		if other, err := n.Others(ctx, notice.Request); other || err != nil {
			return err
		}
	}
	all, err := n.Registry.Applications(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(a application.Application) bool { return a.Name == asking.Application })
	if at < 0 {
		return errors.New("there is none of that name")
	}
	keys, err := all[at].Keys(ctx)
	if err != nil {
		return err
	}
	// Its hosts may be others than when it asked.
	u, err := application.ParseCallback(asking.Callback, all[at].CallbackHosts, n.Local)
	if err != nil {
		return err
	}
	m := Message{ID: notice.ID, URL: u.String()}
	for _, k := range keys {
		m.Keys = append(m.Keys, k.Secret)
	}
	if m.Body, err = Body(notice.Request, n.Sender.Now()); err != nil {
		return err
	}
	if err = n.Sender.Send(ctx, m); errors.Is(err, ErrGone) {
		return nil // it wants no more of this one
	}
	return err
}

// Body is what an application is told: which request, and how it stands.
func Body(r access.Request, at time.Time) ([]byte, error) {
	status := Status(r.State)
	return json.Marshal(map[string]any{"type": "approval." + status, "timestamp": at.UTC().Format(time.RFC3339),
		"data": map[string]string{"id": r.ID, "status": status}})
}

// Status is how a request stands in the words of applications: what is active is approved.
func Status(s access.State) string {
	if s == access.Active {
		return "approved"
	}
	return string(s)
}
