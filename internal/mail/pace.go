package mail

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// pace lets at most perMinute messages pass in any minute, in the order in which
// they come. Exchange Online refuses the others.
type pace struct {
	perMinute int
	now       func() time.Time
	sleep     func(context.Context, time.Duration) error

	mutex sync.Mutex
	// turns are when messages of the last minute had their turn, and when those that
	// wait will have it, in order.
	turns []time.Time
}

// wait waits for a turn. It fails at once when ctx ends before that.
func (p *pace) wait(ctx context.Context) error {
	turn, pause, err := p.reserve(ctx)
	if err == nil && pause > 0 {
		if err = p.sleep(ctx, pause); err != nil {
			p.giveBack(turn)
			err = fault(ctx, atTurn, err)
		}
	}
	return err
}

func (p *pace) reserve(ctx context.Context) (turn time.Time, pause time.Duration, err error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	turn = p.now()
	over := turn.Add(-time.Minute)
	p.turns = slices.DeleteFunc(p.turns, func(t time.Time) bool { return !t.After(over) })
	if ahead := len(p.turns) - p.perMinute; ahead >= 0 {
		first := p.turns[ahead].Add(time.Minute)
		turn, pause = first, first.Sub(turn)
	}
	// Deadlines go by the real clock.
	if deadline, ok := ctx.Deadline(); ok && pause > 0 && time.Until(deadline) <= pause {
		return turn, 0, fault(ctx, atTurn, fmt.Errorf("at most %d mails a minute are sent, and this one would have to wait for %s", p.perMinute, pause.Round(time.Second)))
	}
	p.turns = append(p.turns, turn)
	return turn, pause, nil
}

// giveBack is for who does not wait any longer: those who come later get the turn.
func (p *pace) giveBack(turn time.Time) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if at := slices.IndexFunc(p.turns, turn.Equal); at >= 0 {
		p.turns = slices.Delete(p.turns, at, at+1)
	}
}
