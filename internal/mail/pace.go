package mail

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// pace lets at most perMinute messages pass in any minute, in the order in which
// they come. Exchange Online refuses the others. No more than two thirds of them are
// on one person's account, so that somebody who asks in a row leaves some to others.
type pace struct {
	perMinute int
	now       func() time.Time
	sleep     func(context.Context, time.Duration) error

	mutex sync.Mutex
	// turns are those of the messages of the last minute and of those that wait, in order.
	turns []turn
}

type turn struct {
	at time.Time
	by access.Principal
}

// wait waits for a turn. It fails at once when ctx ends before that.
func (p *pace) wait(ctx context.Context, by access.Principal) error {
	next, pause, err := p.reserve(ctx, by)
	if err == nil && pause > 0 {
		if err = p.sleep(ctx, pause); err != nil {
			p.giveBack(next)
			err = fault(ctx, atTurn, err)
		}
	}
	return err
}

func (p *pace) reserve(ctx context.Context, by access.Principal) (next turn, pause time.Duration, err error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	next = turn{p.now(), by}
	over := next.at.Add(-time.Minute)
	p.turns = slices.DeleteFunc(p.turns, func(t turn) bool { return !t.at.After(over) })
	mine := 0
	for _, t := range p.turns {
		if t.by == by {
			mine++
		}
	}
	if most := p.perMinute - p.perMinute/3; most < p.perMinute && mine >= most {
		return next, 0, fault(ctx, atTurn, fmt.Errorf("at most %s sent for one person, of %d for all",
			access.Counted(most, "mail a minute is", "mails a minute are"), p.perMinute))
	}
	if ahead := len(p.turns) - p.perMinute; ahead >= 0 {
		first := p.turns[ahead].at.Add(time.Minute)
		next.at, pause = first, first.Sub(next.at)
	}
	// Deadlines go by the real clock.
	if deadline, ok := ctx.Deadline(); ok && pause > 0 && time.Until(deadline) <= pause {
		return next, 0, fault(ctx, atTurn, fmt.Errorf("at most %s sent, and this one would have to wait for %s",
			access.Counted(p.perMinute, "mail a minute is", "mails a minute are"), pause.Round(time.Second)))
	}
	p.turns = append(p.turns, next)
	return next, pause, nil
}

// giveBack is for who does not wait any longer: those who come later get the turn.
func (p *pace) giveBack(given turn) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if at := slices.IndexFunc(p.turns, func(t turn) bool { return t.at.Equal(given.at) && t.by == given.by }); at >= 0 {
		p.turns = slices.Delete(p.turns, at, at+1)
	}
}
