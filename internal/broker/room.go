package broker

import (
	"context"
	"slices"
	"strconv"

	"jitaccess/internal/access"
)

// How many requests may wait at a time, to be decided or to begin: of one person, and of one
// application. Each costs a reminder and the record of its end, which one sweep does for as many
// (kinds), so that nobody alone keeps others waiting. Instances that are asked at the same time
// may let a few more through.
const (
	MostOfPerson      = 200
	MostOfApplication = 1000
)

// room refuses a request where as many wait already. What an application asks for somebody counts
// for the application alone, and a form that is sent again is no other request.
func (b *Broker) room(ctx context.Context, r access.Request) error {
	m := b.memory()
	if m == nil {
		return nil
	}
	byApplication := b.applications(r.Resource) != nil
	l, most := access.Listing{Principal: r.Principal, States: []access.State{access.Pending, access.Scheduled}}, MostOfPerson
	if byApplication {
		l, most = access.Listing{Resource: r.Resource, States: l.States}, MostOfApplication
	}
	counts, err := timed(b, ctx, func(ctx context.Context) ([]access.Count, error) {
		counts, _, err := m.Count(ctx, l)
		return counts, err
	})
	waiting := 0
	for _, c := range counts {
		waiting += c.Requests
	}
	if err == nil && waiting >= most && !byApplication {
		waiting, err = b.askedByHand(ctx, m, l)
	}
	if err != nil || waiting < most {
		return err
	}
	if _, err := b.open(ctx, r.ID); err == nil {
		return nil
	}
	return &access.Error{Kind: access.TooMany, Code: access.CodeManyWaiting, Args: access.Args{"max": strconv.Itoa(most)}}
}

// askedByHand counts what waits of somebody that no application has asked for, as far as it
// matters.
func (b *Broker) askedByHand(ctx context.Context, m Memory, l access.Listing) (waiting int, err error) {
	now := b.c.Now()
	for l.Max = access.MaxPage; ; {
		listed, err := timed(b, ctx, func(ctx context.Context) (access.Listed, error) { return m.List(ctx, l) })
		if err != nil {
			return 0, err
		}
		for _, row := range listed.Requests {
			if b.applications(row.Resource) == nil && slices.Contains(l.States, row.StateAt(now)) {
				waiting++
			}
		}
		if l.After = listed.Next; l.After == "" || waiting >= MostOfPerson {
			return waiting, nil
		}
	}
}
