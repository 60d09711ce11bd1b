package slack

import (
	"context"
	"fmt"

	"jitaccess/internal/access"
	"jitaccess/internal/channel"
	"jitaccess/internal/notice"
)

// Probe reads the token anew and asks Slack whose it is. It sends nothing. passed is told of
// each step that was taken; the error is of the one that failed.
func (s *Slack) Probe(ctx context.Context, passed func(name, text string)) error {
	if _, err := s.token.Fresh(ctx); err != nil {
		return s.caller.NoSecret(err)
	}
	passed("secret", "the token could be read")
	var answer struct{ Team, User string }
	if err := s.call(ctx, "auth.test", struct{}{}, &answer); err != nil {
		return err
	}
	passed("token", fmt.Sprintf("it is that of the app %q in the workspace %q", access.Visible(answer.User), access.Visible(answer.Team)))
	return nil
}

// Test sends a test message to somebody, and to the channel if there is one, and returns its
// steps; only the last may have failed.
func (s *Slack) Test(ctx context.Context, to access.Principal) (steps []notice.Step) {
	began := s.c.Now()
	pass := func(name, text string) { steps = append(steps, notice.Step{Name: name, Text: text}) }
	name, err := "token", s.Probe(ctx, pass)
	if err == nil {
		name, err = s.test(ctx, to, pass)
	}
	s.history.Add(notice.TestMessage, access.Receipts{{To: to, Channel: Channel, Err: err}}, began, s.c.Now(), channel.Failure)
	return channel.Steps(steps, name, err)
}

func (s *Slack) test(ctx context.Context, to access.Principal, pass func(name, text string)) (failed string, err error) {
	facts, err := s.c.Writer.Write(access.Notice{Kind: notice.TestMessage})
	if err != nil {
		return "message", err
	}
	m := s.telling(access.Notice{}, facts).message(true, nil)
	id, err := s.userID(ctx, to)
	switch {
	case err == nil:
		pass("person", fmt.Sprintf("%s is %s in Slack", to, id))
		if _, err := s.post(ctx, id, id, m); err != nil {
			return "direct message", err
		}
		pass("direct message", fmt.Sprintf("Slack took one to %s", to))
	case channel.CodeOf(err) != notFound || s.place == "":
		return "person", err
	default:
		pass("person", fmt.Sprintf("nobody in the workspace has the address %s; such people are named in the channel", to))
	}
	if s.place != "" {
		if _, err := s.post(ctx, s.place, s.place, m); err != nil {
			return "channel", err
		}
		pass("channel", "Slack took one to "+s.place)
	}
	return "", nil
}
