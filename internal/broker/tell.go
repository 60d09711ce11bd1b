package broker

import (
	"context"
	"time"

	"jitaccess/internal/access"
)

// tellTime bounds the telling of people, so that a mail server that hangs does not
// eat the action's time.
const tellTime = 10 * time.Second

// tell notifies people and returns who could not be told, as warnings.
func (b *Broker) tell(ctx context.Context, caller access.Caller, n access.Notice) []*access.Error {
	if len(b.c.Notifier.Channels()) == 0 {
		if n.Kind == access.NoticeReview {
			return []*access.Error{{Kind: access.Unavailable, Code: access.CodeNoChannel}}
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	var warnings []*access.Error
	for _, u := range b.c.Notifier.Notify(ctx, n).Failed() {
		warning := &access.Error{Kind: access.Unavailable, Code: access.CodeNotDelivered,
			Args: access.Args{"recipient": string(u.To), "channel": u.Channel}, Err: u.Err}
		if u.To == "" {
			warning.Code, warning.Args = access.CodeNotPublished, access.Args{"channel": u.Channel}
		}
		event := b.event(caller, access.NoticeFailed, n.Request)
		event.Err = warning
		_, unrecorded, _ := b.commit(ctx, event)
		warnings = append(append(warnings, warning), unrecorded...)
	}
	return warnings
}
