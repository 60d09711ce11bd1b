package server

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/events"
	"jitaccess/internal/notice"
)

// MailAccount is the account from which people are told by mail, as administrators
// see it. Nothing that it returns is a secret.
type MailAccount interface {
	// Settings are what is configured, in the order in which to show it; none when
	// there is no account.
	Settings() []notice.Setting
	// Recent are the last mails of this instance, the newest first.
	Recent() []notice.Attempt
	// Test sends a test message within ctx and returns its steps; only the last may
	// have failed.
	Test(ctx context.Context, to access.Principal) []notice.Step
}

// testTime bounds a test message, so that the page with its steps is still sent.
const testTime = 20 * time.Second

// mailView is the page of the mail account.
type mailView struct {
	Frame
	Settings []notice.Setting
	Recent   []mailAttemptView
	// Tested is whether a message was sent just now; Steps are its steps and Well is
	// whether all were taken.
	Tested, Well bool
	Steps        []notice.Step
}

type mailAttemptView struct {
	notice.Attempt
	// What is what they were told, in words.
	What string
	When *Moment
	// Lasted is how long it took; empty when that was no time to speak of.
	Lasted string
}

// mailAccount shows the account to administrators. It connects to nothing.
func (s *server) mailAccount(r *http.Request) (page, error) {
	if err := s.Broker.Admin(r.Context(), callerOf(r)); err != nil {
		return page{}, err
	}
	return page{template: "mail", status: http.StatusOK, data: s.viewMailAccount(r)}, nil
}

func (s *server) viewMailAccount(r *http.Request) mailView {
	v := mailView{Frame: s.frame(r, "mail.title")}
	if s.MailAccount == nil {
		return v
	}
	v.Settings = s.MailAccount.Settings()
	for _, a := range s.MailAccount.Recent() {
		lasted := ""
		if took := a.Took.Round(100 * time.Millisecond); took > 0 {
			lasted = took.String()
		}
		v.Recent = append(v.Recent, mailAttemptView{a, s.languageOf(r).Text("mail.kind." + string(a.Kind)), s.moment(r, a.At), lasted})
	}
	return v
}

// testMail sends a test message to the administrator who asks for it, and shows each
// step. What went wrong is no refusal: finding that out is what was asked for.
func (s *server) testMail(r *http.Request) (page, error) {
	caller := callerOf(r)
	if err := s.Broker.Admin(r.Context(), caller); err != nil {
		return page{}, err
	}
	if _, err := form(r); err != nil {
		return page{}, err
	}
	if s.MailAccount == nil || len(s.MailAccount.Settings()) == 0 {
		return redirect("/mail"), nil
	}
	if !s.tests.allow(caller.Principal, s.Now()) {
		return page{}, &access.Error{Kind: access.TooMany, Code: access.CodeTooFast}
	}
	ctx, cancel := context.WithTimeout(r.Context(), testTime)
	defer cancel()
	steps := s.MailAccount.Test(ctx, caller.Principal)
	well := true
	for _, step := range steps {
		if f := step.Failure; f != nil {
			well = false
			s.logEvent(r, slog.LevelWarn, events.TestMail, "a test message could not be sent", slog.Any("error", f.Err))
		}
	}
	if well {
		s.logEvent(r, slog.LevelInfo, events.TestMail, "a test message was sent")
	}
	v := s.viewMailAccount(r)
	v.Tested, v.Well, v.Steps = true, well, steps
	return page{template: "mail", status: http.StatusOK, data: v}, nil
}
